#version 450
// values[i] = a hash of i and the frame's number.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) uniform Frame { uint frameNumber; uint count; uint historyFrames; };
layout(set = 0, binding = 1) writeonly buffer Values { uint values[]; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i >= count) return;
  uint h = i * 2654435761u + frameNumber * 40503u + 12345u;
  values[i] = h ^ (h >> 13);
}
