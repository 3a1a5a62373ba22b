// What the shaders and the CPU agree on: sizes of the chunk atlas, uniform blocks, bindings, dispatch sizes.
// Every number here has a twin in shaders/common.glsl; a test compares the two files.
//
// World: cells of one byte in chunks of 32 x 32 x 32; z is up. A cell holds a material id: 0 is empty, [1,
// sandBegin) static, [sandBegin, waterBegin) sand, [waterBegin, 256) water, with 128 <= sandBegin <=
// waterBegin <= 256. Chunks that are resident lie in slots of the atlas: slot s is the words [s * 8192, (s +
// 1) * 8192); a word holds four cells along x, the lowest x in the lowest byte; word = x / 4 + 8 * y + 256 *
// z within the chunk. The chunk table is dense over the world's box (x fastest, z slowest) and holds slot +
// 1, or 0 for a chunk that is not resident: rays see it empty, the automaton sees solid wall.
//
// All descriptors are in set 0. Storage images are rgba32f in layout GENERAL. No feature beyond Vulkan 1.2's
// minimum is needed: at most 4 storage buffers, 3 storage images and 2 uniform blocks (12,288 bytes at most)
// per shader.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stadial::sandbox {

inline constexpr std::uint32_t kChunkEdgeCells = 32;
inline constexpr std::uint32_t kChunkCells = kChunkEdgeCells * kChunkEdgeCells * kChunkEdgeCells;
inline constexpr std::uint32_t kCellsPerWord = 4;
inline constexpr std::uint32_t kChunkWords = kChunkCells / kCellsPerWord;
inline constexpr std::uint32_t kChunkBytes = kChunkCells;
inline constexpr std::uint32_t kBrickEdgeCells = 8;   // occupancy is kept per brick
inline constexpr std::uint32_t kBricksPerChunk = 64;  // 4 x 4 x 4, one bit each, x fastest
inline constexpr std::uint32_t kOccupancyWordsPerSlot = kBricksPerChunk / 32;
inline constexpr std::uint32_t kWorldEdgeCellsMax = 2048;
inline constexpr std::uint32_t kWorldEdgeChunksMax = kWorldEdgeCellsMax / kChunkEdgeCells;
inline constexpr std::uint32_t kSlotsMax = 65535;  // one work group per slot: maxComputeWorkGroupCount[0]
inline constexpr std::uint32_t kMaterialCount = 256;
inline constexpr std::uint32_t kMovableMaterialsMax =
    128;  // ids 128..255: their top bit tells them apart in a word
inline constexpr std::uint32_t kLightsMax = 256;
inline constexpr std::uint32_t kLightsPerSlot =
    8;  // two per word, light index + 1 in 16 bits, 0 ends the list
inline constexpr std::uint32_t kLightWordsPerSlot = kLightsPerSlot / 2;

// FrameUniforms::image[2]
enum FrameFlags : std::uint32_t {
  kFrameHistoryValid = 1U << 0,  // the history image holds the frame before this one, at this size
  kFrameStill = 1U << 1,  // neither camera, cells nor light changed since then: accumulate without clamping
  kFrameCameraMoved = 1U << 2,  // reproject; unset: a pixel's history is at the pixel
  kFrameGroundPlane = 1U << 3,  // an endless floor at z = groundColour[3]
};

// Binding 0 of every shader but occupancy, std140. Written once a frame; MakeFrameUniforms (frame_uniforms.h)
// fills it.
struct alignas(16) FrameUniforms {
  float cameraPosition[4];  // xyz: cells; w: exposure, a factor
  float cameraRight[4];    // xyz: unit vector times tan(half the vertical angle of view) times width / height
  float cameraUp[4];       // xyz: unit vector times tan(half the vertical angle of view)
  float cameraForward[4];  // xyz: unit vector
  float previousPosition[4];  // xyz: cells, one frame ago
  float previousRight[4];     // xyz: as above, divided by its squared length, so that a dot product projects
  float previousUp[4];        // xyz: likewise
  float previousForward[4];   // xyz: unit vector
  float jitter[4];        // xy: where in the pixel this frame samples, in pixels from its centre, [-0.5, 0.5)
  float sunDirection[4];  // xyz: unit vector towards the sun; w: cosine of the disc's half angle
  float sunColour[4];     // rgb: irradiance on a surface that faces the sun, linear
  float skyZenith[4];     // rgb: radiance straight up, linear
  float skyHorizon[4];    // rgb: radiance at the horizon, linear; w: ambient strength, a factor
  float groundColour[4];  // rgb: albedo of the floor, linear; w: its z in cells
  float haze[4];          // x: distance in cells at which half the light is haze; yzw: unused
  std::uint32_t image[4];      // width, height, FrameFlags, most frames a pixel accumulates while things move
  std::uint32_t world[4];      // chunks along x, y, z; number of slots
  std::uint32_t automaton[4];  // step of the frame's first automaton pass, seed, sandBegin, waterBegin
};
static_assert(sizeof(FrameUniforms) == 18 * 16);
static_assert(offsetof(FrameUniforms, jitter) == 8 * 16);
static_assert(offsetof(FrameUniforms, image) == 15 * 16);
static_assert(offsetof(FrameUniforms, automaton) == 17 * 16);

// A light that stands for the glowing cells of a brick.
struct alignas(16) LightUniform {
  float position[4];   // xyz: cells; w: radius in cells beyond which it gives nothing
  float intensity[4];  // rgb: linear, at distance 1
};
static_assert(sizeof(LightUniform) == 32);

// Binding 1 of the ray march, std140. Constant while a world is loaded; World::FillSceneUniforms fills it.
struct alignas(16) SceneUniforms {
  float materials[kMaterialCount][4];  // rgb: albedo, linear; w: emission, a factor on the albedo
  LightUniform lights[kLightsMax];
};
static_assert(offsetof(SceneUniforms, lights) == 4096);
static_assert(sizeof(SceneUniforms) == 12288);
static_assert(sizeof(SceneUniforms) <= 16384, "the least maxUniformBufferRange Vulkan allows");

// automaton.comp: dispatch (slots, 17, 1).
struct AutomatonBindings {
  static constexpr std::uint32_t kFrame = 0;       // uniform buffer: FrameUniforms
  static constexpr std::uint32_t kChunkTable = 1;  // storage buffer, read: uint per chunk of the box
  static constexpr std::uint32_t kSlotChunks =
      2;  // storage buffer, read: uint per slot, cx | cy << 10 | cz << 20
  static constexpr std::uint32_t kCellsIn = 3;   // storage buffer, read: kChunkWords per slot
  static constexpr std::uint32_t kCellsOut = 4;  // storage buffer, write: another buffer than kCellsIn
};
struct AutomatonPush {
  std::uint32_t
      subStep;  // added to automaton[0]: a frame may hold several passes in one recorded command buffer
};
static_assert(sizeof(AutomatonPush) == 4);
inline constexpr std::uint32_t kAutomatonGroupsY =
    17;  // row pairs along z, one of them cut by the chunk's border

// occupancy.comp: dispatch (slots, 1, 1). After every automaton pass that a ray march follows, and once after
// loading.
struct OccupancyBindings {
  static constexpr std::uint32_t kCells = 0;      // storage buffer, read
  static constexpr std::uint32_t kOccupancy = 1;  // storage buffer, write: kOccupancyWordsPerSlot per slot
};

// ray_march.comp: dispatch (ceil(width / 8), ceil(height / 8), 1).
struct RayMarchBindings {
  static constexpr std::uint32_t kFrame = 0;       // uniform buffer
  static constexpr std::uint32_t kScene = 1;       // uniform buffer: SceneUniforms
  static constexpr std::uint32_t kChunkTable = 2;  // storage buffer, read
  static constexpr std::uint32_t kCells = 3;       // storage buffer, read
  static constexpr std::uint32_t kOccupancy = 4;   // storage buffer, read
  static constexpr std::uint32_t kSlotLights = 5;  // storage buffer, read: kLightWordsPerSlot per slot
  static constexpr std::uint32_t kColour = 6;      // storage image, write: rgb linear, a: distance in cells
};

// taa.comp: dispatch as ray_march.comp.
struct TaaBindings {
  static constexpr std::uint32_t kFrame = 0;       // uniform buffer
  static constexpr std::uint32_t kCurrent = 1;     // storage image, read: what ray_march wrote
  static constexpr std::uint32_t kHistoryIn = 2;   // storage image, read: what taa wrote one frame ago
  static constexpr std::uint32_t kHistoryOut = 3;  // storage image, write: rgb linear, a: PackHistory
};

// tonemap.comp: dispatch as ray_march.comp.
struct TonemapBindings {
  static constexpr std::uint32_t kFrame = 0;   // uniform buffer
  static constexpr std::uint32_t kColour = 1;  // storage image, read: what taa wrote
  static constexpr std::uint32_t kPixels = 2;  // storage buffer, write: width * height uints, r in the low
                                               // byte, row by row from the top: the bytes of an RGBA8 image
};

inline constexpr std::uint32_t kImageGroupEdge = 8;
constexpr std::uint32_t ImageGroups(std::uint32_t pixels) noexcept {
  return (pixels + kImageGroupEdge - 1) / kImageGroupEdge;
}

// Distance of a ray that meets nothing. Distances are kept up to kDistanceMax cells (the diagonal of the
// largest world is 3,547) in steps of 1/16; the count of accumulated frames shares the number: floor(distance
// * 16) * 256 + count is at most 2^24 - 1 and thus exact in a float.
inline constexpr float kSkyDistance = 65504.0F;
inline constexpr float kDistanceMax = 4095.9F;
inline constexpr float kDistanceSteps = 16.0F;
inline constexpr float kCountSteps = 256.0F;
inline constexpr std::uint32_t kAccumulatedFramesMax = 255;

}  // namespace stadial::sandbox
