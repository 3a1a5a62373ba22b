// Twin of shader_interface.h: layouts and sizes that shaders and CPU agree on. A test compares the two.

const uint kChunkEdgeCells = 32u;
const uint kChunkWords = 8192u;
const uint kWordsPerRow = 8u;     // along x
const uint kWordsPerLayer = 256u; // along x and y
const uint kMaterialCount = 256u;
const uint kLightsMax = 256u;
const uint kLightWordsPerSlot = 4u;

const uint kFrameHistoryValid = 1u;
const uint kFrameStill = 2u;
const uint kFrameCameraMoved = 4u;
const uint kFrameGroundPlane = 8u;

const float kSkyDistance = 65504.0;
const float kDistanceMax = 4095.9;
const float kDistanceSteps = 16.0;
const float kCountSteps = 256.0;
const float kAccumulatedFramesMax = 255.0;

struct FrameUniforms {
  vec4 cameraPosition;    // w: exposure
  vec4 cameraRight;
  vec4 cameraUp;
  vec4 cameraForward;
  vec4 previousPosition;
  vec4 previousRight;     // divided by its squared length
  vec4 previousUp;        // likewise
  vec4 previousForward;
  vec4 jitter;            // xy
  vec4 sunDirection;      // w: cosine of the disc's half angle
  vec4 sunColour;
  vec4 skyZenith;
  vec4 skyHorizon;        // w: ambient strength
  vec4 groundColour;      // w: z of the floor
  vec4 haze;              // x: distance of half haze
  uvec4 image;            // width, height, flags, most accumulated frames while things move
  uvec4 world;            // chunks x, y, z; slots
  uvec4 automaton;        // step, seed, sandBegin, waterBegin
};
