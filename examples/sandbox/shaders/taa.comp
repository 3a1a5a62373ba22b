// Temporal anti-aliasing: blends this frame's jittered sample into the history of the surface it shows.
// The method is described in taa_cpu.h, whose image this must match.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 8, local_size_y = 8) in;

layout(set = 0, binding = 0, std140) uniform Frame { FrameUniforms frame; };
layout(set = 0, binding = 1, rgba32f) readonly uniform image2D currentImage;
layout(set = 0, binding = 2, rgba32f) readonly uniform image2D historyImage;
layout(set = 0, binding = 3, rgba32f) writeonly uniform image2D resolvedImage;

const float kToleranceCells = 1.0;       // of distances that show the same surface
const float kToleranceRelative = 0.02;

float PackHistory(float distance, float count) {
  return floor(min(distance, kDistanceMax) * kDistanceSteps) * kCountSteps + count;
}
float DistanceOf(float history) { return floor(history / kCountSteps) / kDistanceSteps; }
float CountOf(float history) { return history - floor(history / kCountSteps) * kCountSteps; }

ivec2 Clamped(ivec2 pixel) { return clamp(pixel, ivec2(0), ivec2(frame.image.xy) - 1); }

// Where the surface of this pixel's sample stood in the previous image, in pixels (centres at .5), and its distance
// then; false when it was behind that camera.
bool Reproject(ivec2 pixel, float distance, out vec2 position, out float previousDistance) {
  vec2 at = vec2(pixel) + vec2(0.5) + frame.jitter.xy;
  vec2 plane = 2.0 * at / vec2(frame.image.xy) - vec2(1.0);
  vec3 direction = frame.cameraForward.xyz + frame.cameraRight.xyz * plane.x - frame.cameraUp.xyz * plane.y;
  direction *= 1.0 / sqrt(dot(direction, direction));
  vec3 v = frame.cameraPosition.xyz + direction * distance - frame.previousPosition.xyz;
  float depth = dot(v, frame.previousForward.xyz);
  position = vec2(0.0);
  previousDistance = sqrt(dot(v, v));
  if (depth <= 1.0e-3) return false;
  vec2 previousPlane = vec2(dot(v, frame.previousRight.xyz), -dot(v, frame.previousUp.xyz)) / depth;
  vec2 sampled = (previousPlane + vec2(1.0)) * 0.5 * vec2(frame.image.xy);
  position = sampled - frame.jitter.xy;
  return true;
}

void main() {
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  if (pixel.x >= int(frame.image.x) || pixel.y >= int(frame.image.y)) return;
  vec4 current = imageLoad(currentImage, pixel);
  vec4 fresh = vec4(current.rgb, PackHistory(current.a, 1.0));
  uint flags = frame.image.z;
  if ((flags & kFrameHistoryValid) == 0u) {
    imageStore(resolvedImage, pixel, fresh);
    return;
  }
  if ((flags & kFrameStill) != 0u && (flags & kFrameCameraMoved) == 0u) {
    vec4 history = imageLoad(historyImage, pixel);
    float count = min(CountOf(history.a) + 1.0, kAccumulatedFramesMax);
    vec3 colour = history.rgb + (current.rgb - history.rgb) / count;
    imageStore(resolvedImage, pixel, vec4(colour, PackHistory(current.a, count)));
    return;
  }

  vec3 low = current.rgb;
  vec3 high = current.rgb;
  float near = current.a;
  float far = current.a;
  for (int i = 0; i < 9; ++i) {
    vec4 neighbour = imageLoad(currentImage, Clamped(pixel + ivec2(i % 3 - 1, i / 3 - 1)));
    low = min(low, neighbour.rgb);
    high = max(high, neighbour.rgb);
    near = min(near, neighbour.a);
    far = max(far, neighbour.a);
  }

  vec4 history = vec4(0.0);
  float shift = 0.0;  // how much farther the surface was from the previous camera
  if ((flags & kFrameCameraMoved) == 0u) {
    history = imageLoad(historyImage, pixel);
  } else {
    vec2 position;
    float previousDistance;
    bool ahead = Reproject(pixel, current.a, position, previousDistance);
    if (!ahead || any(lessThan(position, vec2(0.0))) || any(greaterThanEqual(position, vec2(frame.image.xy)))) {
      imageStore(resolvedImage, pixel, fresh);
      return;
    }
    shift = current.a >= kSkyDistance ? 0.0 : previousDistance - current.a;
    vec2 corner = floor(position - vec2(0.5));
    vec2 f = position - vec2(0.5) - corner;
    ivec2 c = ivec2(corner);
    vec4 h00 = imageLoad(historyImage, Clamped(c));
    vec4 h10 = imageLoad(historyImage, Clamped(c + ivec2(1, 0)));
    vec4 h01 = imageLoad(historyImage, Clamped(c + ivec2(0, 1)));
    vec4 h11 = imageLoad(historyImage, Clamped(c + ivec2(1, 1)));
    history.rgb = mix(mix(h00.rgb, h10.rgb, f.x), mix(h01.rgb, h11.rgb, f.x), f.y);
    // Distances and counts are not mixed: those of the nearest pixel stand.
    history.a = f.y < 0.5 ? (f.x < 0.5 ? h00.a : h10.a) : (f.x < 0.5 ? h01.a : h11.a);
  }

  float tolerance = kToleranceCells + kToleranceRelative * min(far, kDistanceMax);
  float historyDistance = DistanceOf(history.a) - shift;
  bool same = historyDistance >= min(near, kDistanceMax) - tolerance && historyDistance <= min(far, kDistanceMax) + tolerance;
  if (!same) {
    imageStore(resolvedImage, pixel, fresh);
    return;
  }
  float count = min(CountOf(history.a) + 1.0, float(frame.image.w));
  vec3 kept = clamp(history.rgb, low, high);
  vec3 colour = kept + (current.rgb - kept) / count;
  imageStore(resolvedImage, pixel, vec4(colour, PackHistory(current.a, count)));
}
