// Draws the chunk atlas: one primary ray per pixel; sun with shadow, up to eight nearby lanterns with shadows, sky and
// floor as ambient light with occlusion from the cells around the face; water reflects and lets through.
// The optics are described in ray_march_cpu.h, whose image this must match.
//
// A ray walks boxes of three sizes: a chunk that is empty or not resident in one step, a brick without cells in one, and
// cells singly. Every border is met at t = (plane - origin) / direction with an integer plane, so nothing accumulates and
// a big step ends on the very number that small ones would.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 8, local_size_y = 8) in;

struct Light {
  vec4 position;   // w: radius
  vec4 intensity;
};

layout(set = 0, binding = 0, std140) uniform Frame { FrameUniforms frame; };
layout(set = 0, binding = 1, std140) uniform Scene {
  vec4 materials[kMaterialCount];  // rgb: albedo; w: emission
  Light lights[kLightsMax];
} scene;
layout(set = 0, binding = 2, std430) readonly buffer ChunkTable { uint chunkTable[]; };
layout(set = 0, binding = 3, std430) readonly buffer Cells { uint cells[]; };
layout(set = 0, binding = 4, std430) readonly buffer Occupancy { uint occupancy[]; };
layout(set = 0, binding = 5, std430) readonly buffer SlotLights { uint slotLights[]; };
layout(set = 0, binding = 6, rgba32f) writeonly uniform image2D colourImage;

// What a ray stops at.
const uint kUntilCell = 0u;      // anything but empty
const uint kUntilNotWater = 1u;  // anything but water
const uint kUntilSolid = 2u;     // stone or sand
const uint kUntilDark = 3u;      // stone or sand that does not glow

const uint kStepsMax = 8192u;    // a ray crosses at most 3 * 2048 cells of the largest world
const uint kPassesMax = 4u;      // primary, inside water, behind water, reflection
const float kEndless = 1.0e30;
const float kDirectionMin = 1.0e-6;

struct Ray {
  vec3 origin;
  vec3 direction;
  vec3 inverse;
};

struct Walk {
  ivec3 cell;  // where the ray is
  float t;     // where it entered that cell
  int axis;    // through a face across this axis
  uint id;     // what the cell holds
};

Ray MakeRay(vec3 origin, vec3 direction) {
  // No component is zero, so that no border is met at infinity or nowhere.
  vec3 towards = vec3(direction.x < 0.0 ? -1.0 : 1.0, direction.y < 0.0 ? -1.0 : 1.0, direction.z < 0.0 ? -1.0 : 1.0);
  vec3 d = towards * max(abs(direction), vec3(kDirectionMin));
  return Ray(origin, d, 1.0 / d);
}

ivec3 WorldCells() { return ivec3(frame.world.xyz) * int(kChunkEdgeCells); }

bool IsInside(ivec3 cell) {
  return all(greaterThanEqual(cell, ivec3(0))) && all(lessThan(cell, WorldCells()));
}

// Slot + 1 of the chunk of a cell inside the world.
uint EntryOf(ivec3 cell) {
  uvec3 chunk = uvec3(cell) >> 5u;
  return chunkTable[chunk.x + frame.world.x * (chunk.y + frame.world.y * chunk.z)];
}

uint LoadCell(uint entry, ivec3 cell) {
  uvec3 c = uvec3(cell) & 31u;
  uint word = cells[(entry - 1u) * kChunkWords + (c.x >> 2u) + kWordsPerRow * c.y + kWordsPerLayer * c.z];
  return (word >> (8u * (c.x & 3u))) & 255u;
}

bool Stops(uint id, uint mode) {
  if (mode == kUntilCell) return id != 0u;
  if (mode == kUntilNotWater) return id < frame.automaton.w;
  return id != 0u && id < frame.automaton.w && (mode == kUntilSolid || scene.materials[id].w <= 0.0);
}

// The axis whose border is met first; ties go to the later axis.
int FirstAxis(vec3 t) { return t.x < t.y ? (t.x < t.z ? 0 : 2) : (t.y < t.z ? 1 : 2); }

// Moves a walk that begins outside the world to where its ray enters it.
bool Enter(Ray ray, inout Walk walk) {
  vec3 far = mix(vec3(0.0), vec3(WorldCells()), greaterThan(ray.direction, vec3(0.0)));
  vec3 near = vec3(WorldCells()) - far;
  vec3 tNear = (near - ray.origin) * ray.inverse;
  vec3 tFar = (far - ray.origin) * ray.inverse;
  walk.axis = tNear.x > tNear.y ? (tNear.x > tNear.z ? 0 : 2) : (tNear.y > tNear.z ? 1 : 2);
  walk.t = max(tNear.x, max(tNear.y, tNear.z));
  if (walk.t <= 0.0 || walk.t >= min(tFar.x, min(tFar.y, tFar.z))) return false;
  walk.cell = clamp(ivec3(floor(ray.origin + ray.direction * walk.t)), ivec3(0), WorldCells() - 1);
  walk.cell[walk.axis] = ray.direction[walk.axis] > 0.0 ? 0 : WorldCells()[walk.axis] - 1;
  return true;
}

// Walks until the mode says stop (true), or the ray leaves the world or passes tMax (false).
bool March(Ray ray, float tMax, uint mode, inout Walk walk) {
  if (!IsInside(walk.cell) && !Enter(ray, walk)) return false;
  ivec3 positive = ivec3(greaterThan(ray.direction, vec3(0.0)));
  ivec3 chunkSeen = ivec3(-1);
  uint entry = 0u;
  uvec2 bricks = uvec2(0u);
  for (uint i = 0u; i < kStepsMax; ++i) {
    if (walk.t > tMax || !IsInside(walk.cell)) return false;
    ivec3 chunk = walk.cell >> 5;
    if (chunk != chunkSeen) {
      chunkSeen = chunk;
      entry = EntryOf(walk.cell);
      bricks = uvec2(0u);
      if (entry != 0u) bricks = uvec2(occupancy[2u * entry - 2u], occupancy[2u * entry - 1u]);
    }
    int size = 32;
    walk.id = 0u;
    if ((bricks.x | bricks.y) != 0u) {
      uvec3 brick = (uvec3(walk.cell) >> 3u) & 3u;
      uint bit = brick.x + 4u * brick.y + 16u * brick.z;
      bool occupied = (((bit < 32u ? bricks.x : bricks.y) >> (bit & 31u)) & 1u) != 0u;
      size = occupied ? 1 : 8;
      if (occupied) walk.id = LoadCell(entry, walk.cell);
    }
    if (Stops(walk.id, mode)) return true;
    ivec3 base = walk.cell & ~(size - 1);
    vec3 t = (vec3(base + positive * size) - ray.origin) * ray.inverse;
    walk.axis = FirstAxis(t);
    walk.t = min(t.x, min(t.y, t.z));
    if (size > 1) {
      vec3 p = ray.origin + ray.direction * walk.t;
      walk.cell = clamp(ivec3(floor(p)), base, base + (size - 1));
    }
    // The cell beyond the border: base + size or base - 1 along the axis.
    walk.cell = mix(walk.cell, base + positive * (size + 1) - 1, equal(ivec3(walk.axis), ivec3(0, 1, 2)));
  }
  return false;
}

vec3 Sky(vec3 direction) {
  float low = 1.0 - clamp(direction.z, 0.0, 1.0);
  vec3 colour = mix(frame.skyZenith.rgb, frame.skyHorizon.rgb, low * low * low);
  float c = max(dot(direction, frame.sunDirection.xyz), 0.0);
  float c8 = c * c;
  c8 *= c8;
  c8 *= c8;
  float c64 = c8 * c8;
  c64 *= c64;
  c64 *= c64;
  colour += frame.sunColour.rgb * (0.06 * c8 + 0.12 * c64);
  if (c > frame.sunDirection.w) colour += frame.sunColour.rgb * 6.0;
  return colour;
}

// Whether the ambient light of a neighbouring face is blocked by this cell. Below the floor everything is.
float Blocks(ivec3 cell) {
  if (cell.z < 0) return 1.0;
  if (!IsInside(cell)) return 0.0;
  uint entry = EntryOf(cell);
  if (entry == 0u) return 0.0;
  return Stops(LoadCell(entry, cell), kUntilDark) ? 1.0 : 0.0;
}

// Light that reaches a corner of a face past the two cells beside it and the one across.
float Corner(float sideU, float sideV, float across) {
  float open = sideU * sideV > 0.5 ? 0.0 : 3.0 - sideU - sideV - across;
  return 0.37 + 0.21 * open;
}

// front: the empty cell before the face; the face lies across `axis`; p: the point on it.
float AmbientOpenness(ivec3 front, int axis, vec3 p) {
  int axisU = axis == 2 ? 0 : axis + 1;
  int axisV = axisU == 2 ? 0 : axisU + 1;
  ivec3 u = ivec3(0);
  ivec3 v = ivec3(0);
  u[axisU] = 1;
  v[axisV] = 1;
  float uLow = Blocks(front - u);
  float uHigh = Blocks(front + u);
  float vLow = Blocks(front - v);
  float vHigh = Blocks(front + v);
  float c00 = Corner(uLow, vLow, Blocks(front - u - v));
  float c10 = Corner(uHigh, vLow, Blocks(front + u - v));
  float c01 = Corner(uLow, vHigh, Blocks(front - u + v));
  float c11 = Corner(uHigh, vHigh, Blocks(front + u + v));
  float x = clamp(p[axisU] - float(front[axisU]), 0.0, 1.0);
  float y = clamp(p[axisV] - float(front[axisV]), 0.0, 1.0);
  return mix(mix(c00, c10, x), mix(c01, c11, x), y);
}

// All light on the face at p. entry: of the chunk whose lanterns count, 0 for none.
vec3 Irradiance(vec3 p, ivec3 front, int axis, vec3 normal, uint entry) {
  vec3 sun = frame.sunDirection.xyz;
  vec3 skyLight = mix(frame.skyZenith.rgb, frame.skyHorizon.rgb, 0.5);
  vec3 floorLight = frame.groundColour.rgb * frame.sunColour.rgb * 0.25;
  vec3 total = mix(floorLight, skyLight, 0.5 + 0.5 * normal.z) * (0.85 + 0.15 * dot(normal, sun));
  total *= frame.skyHorizon.w * AmbientOpenness(front, axis, p);
  uint lightCount = entry == 0u ? 1u : 9u;
  for (uint i = 0u; i < lightCount; ++i) {
    vec3 towards = sun;
    vec3 strength = frame.sunColour.rgb;
    float reach = kEndless;
    if (i != 0u) {
      uint pair = slotLights[(entry - 1u) * kLightWordsPerSlot + (i - 1u) / 2u];
      uint index = (pair >> (16u * ((i - 1u) & 1u))) & 0xffffu;
      if (index == 0u) break;
      vec4 position = scene.lights[index - 1u].position;
      vec3 delta = position.xyz - p;
      float squared = max(dot(delta, delta), 1.0e-4);
      float window = 1.0 - squared / (position.w * position.w);
      if (window <= 0.0) continue;
      reach = sqrt(squared);
      towards = delta / reach;
      strength = scene.lights[index - 1u].intensity.rgb * (window * window / (squared + 4.0));
    }
    float facing = dot(normal, towards);
    if (facing <= 0.0) continue;
    Walk walk = Walk(front, 0.0, axis, 0u);
    if (March(MakeRay(p, towards), reach, i == 0u ? kUntilSolid : kUntilDark, walk)) continue;
    total += strength * facing;
  }
  return total;
}

vec3 Hazed(vec3 colour, vec3 direction, float t) {
  float x = t / frame.haze.x;
  x *= x;
  return mix(colour, Sky(vec3(direction.xy, max(direction.z, 0.0))), x / (1.0 + x));
}

// The colour of the light that comes back along a ray, and how far it came.
vec4 Trace(Ray ray) {
  bool hasFloor = (frame.image.z & kFrameGroundPlane) != 0u;
  vec3 colour = vec3(0.0);
  vec3 weight = vec3(1.0);
  float distance = kSkyDistance;
  Walk walk = Walk(ivec3(floor(ray.origin)), 0.0, 2, 0u);
  bool inWater = false;
  bool waterIsOpaque = false;
  float waterSince = 0.0;
  vec3 waterColour = vec3(0.0);
  vec3 waterLight = vec3(0.0);
  bool reflects = false;
  Ray reflection = ray;
  vec3 reflectionWeight = vec3(0.0);
  ivec3 reflectionCell = ivec3(0);

  for (uint pass = 0u; pass < kPassesMax; ++pass) {
    bool found = March(ray, kEndless, inWater ? kUntilNotWater : kUntilCell, walk);
    if (inWater) {
      vec3 x = (vec3(1.0) - waterColour) * (0.22 * max(walk.t - waterSince, 0.0));
      vec3 through = 1.0 / (1.0 + x + 0.5 * x * x);
      colour += weight * waterColour * waterLight * (1.0 - through);
      weight *= through;
      inWater = false;
      if (found && walk.id == 0u) continue;
    }
    float t = walk.t;
    vec3 albedo = vec3(0.0);
    float emission = 0.0;
    uint entry = 0u;
    vec3 p = ray.origin;
    vec3 normal = vec3(0.0);
    ivec3 front = walk.cell;
    int axis = walk.axis;
    bool surface = found;
    if (found) {
      albedo = scene.materials[walk.id].rgb;
      emission = scene.materials[walk.id].w;
      entry = EntryOf(walk.cell);
      normal[axis] = ray.direction[axis] > 0.0 ? -1.0 : 1.0;
      front[axis] += ray.direction[axis] > 0.0 ? -1 : 1;
      p = ray.origin + ray.direction * t;
    } else if (hasFloor && ray.direction.z < 0.0 && ray.origin.z > frame.groundColour.w) {
      surface = true;
      t = (frame.groundColour.w - ray.origin.z) * ray.inverse.z;
      p = ray.origin + ray.direction * t;
      p.z = frame.groundColour.w;
      axis = 2;
      normal = vec3(0.0, 0.0, 1.0);
      albedo = frame.groundColour.rgb;
      front = ivec3(ivec2(floor(clamp(p.xy, vec2(-1.0e6), vec2(1.0e6)))), 0);
      if (IsInside(front)) entry = EntryOf(front);
    }
    if (pass == 0u && surface) distance = min(t, kDistanceMax);
    if (!surface) {
      colour += weight * Sky(ray.direction);
    } else {
      vec3 light = Irradiance(p, front, axis, normal, entry);
      if (found && walk.id >= frame.automaton.w && !waterIsOpaque) {
        float cosine = clamp(-dot(ray.direction, normal), 0.0, 1.0);
        float m = 1.0 - cosine;
        float m2 = m * m;
        float fresnel = 0.03 + 0.97 * m2 * m2 * m;
        reflects = true;
        vec3 mirrored = ray.direction;
        mirrored[axis] = -mirrored[axis];
        reflection = MakeRay(p, mirrored);
        reflectionWeight = weight * fresnel;
        reflectionCell = front;
        weight *= 1.0 - fresnel;
        waterIsOpaque = true;
        inWater = true;
        waterSince = t;
        waterColour = albedo;
        waterLight = light;
        continue;
      }
      colour += weight * Hazed(albedo * (light + vec3(emission)), ray.direction, t);
    }
    if (!reflects) break;
    reflects = false;
    ray = reflection;
    weight = reflectionWeight;
    walk = Walk(reflectionCell, 0.0, axis, 0u);
  }
  return vec4(colour, distance);
}

void main() {
  uvec2 pixel = gl_GlobalInvocationID.xy;
  if (pixel.x >= frame.image.x || pixel.y >= frame.image.y) return;
  vec2 at = vec2(pixel) + vec2(0.5) + frame.jitter.xy;
  vec2 plane = 2.0 * at / vec2(frame.image.xy) - vec2(1.0);
  vec3 direction = frame.cameraForward.xyz + frame.cameraRight.xyz * plane.x - frame.cameraUp.xyz * plane.y;
  direction *= 1.0 / sqrt(dot(direction, direction));
  imageStore(colourImage, ivec2(pixel), Trace(MakeRay(frame.cameraPosition.xyz, direction)));
}
