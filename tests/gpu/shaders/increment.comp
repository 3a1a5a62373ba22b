#version 450
// values[i] += step; sets 0 and 1 show that two layouts bind side by side.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) buffer Values { uint values[]; };
layout(set = 1, binding = 0) uniform Step { uint step; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i < values.length()) values[i] += step;
}
