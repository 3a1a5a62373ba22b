#version 450
// results[i] = (current ^ mask) + kAddend
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint kAddend = 0;
layout(set = 0, binding = 0, r32ui) uniform readonly uimage2D current;
layout(set = 0, binding = 1) writeonly buffer Results { uint results[]; };
layout(push_constant) uniform Push { uint mask; uint count; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i >= count) return;
  results[i] = (imageLoad(current, ivec2(i % 16, i / 16)).x ^ mask) + kAddend;
}
