#version 450
// current = values + 3 * previous + the one before that, as far as there is history.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) uniform Frame { uint frameNumber; uint count; uint historyFrames; };
layout(set = 0, binding = 1) readonly buffer Values { uint values[]; };
layout(set = 0, binding = 2, r32ui) uniform writeonly uimage2D current;
layout(set = 0, binding = 3, r32ui) uniform readonly uimage2D previous1;
layout(set = 0, binding = 4, r32ui) uniform readonly uimage2D previous2;

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i >= count) return;
  ivec2 at = ivec2(i % 16, i / 16);
  uint sum = values[i];
  if (historyFrames >= 1) sum += 3 * imageLoad(previous1, at).x;
  if (historyFrames >= 2) sum += imageLoad(previous2, at).x;
  imageStore(current, at, uvec4(sum));
}
