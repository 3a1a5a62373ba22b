// Which bricks of 8 x 8 x 8 cells hold anything: one bit each, for the ray march to skip the others.
// One work group per slot, one invocation per brick.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;

layout(set = 0, binding = 0, std430) readonly buffer Cells { uint cells[]; };
layout(set = 0, binding = 1, std430) writeonly buffer Occupancy { uint occupancy[]; };

shared uint bits[2];

void main() {
  uint brick = gl_LocalInvocationID.x;
  if (brick < 2u) bits[brick] = 0u;
  barrier();
  uint first = gl_WorkGroupID.x * kChunkWords + 2u * (brick & 3u) + 8u * kWordsPerRow * ((brick >> 2) & 3u) +
               8u * kWordsPerLayer * (brick >> 4);
  uint any = 0u;
  for (uint z = 0u; z < 8u && any == 0u; ++z) {
    for (uint y = 0u; y < 8u; ++y) {
      uint word = first + kWordsPerRow * y + kWordsPerLayer * z;
      any |= cells[word] | cells[word + 1u];
    }
  }
  if (any != 0u) atomicOr(bits[brick >> 5], 1u << (brick & 31u));
  barrier();
  if (brick < 2u) occupancy[gl_WorkGroupID.x * 2u + brick] = bits[brick];
}
