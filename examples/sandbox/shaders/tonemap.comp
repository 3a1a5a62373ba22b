// Linear light to an RGBA8 image in a buffer: exposure, a filmic curve (K. Narkowicz's fit of the ACES curve), sRGB.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 8, local_size_y = 8) in;

layout(set = 0, binding = 0, std140) uniform Frame { FrameUniforms frame; };
layout(set = 0, binding = 1, rgba32f) readonly uniform image2D colourImage;
layout(set = 0, binding = 2, std430) writeonly buffer Pixels { uint pixels[]; };

void main() {
  uvec2 pixel = gl_GlobalInvocationID.xy;
  if (pixel.x >= frame.image.x || pixel.y >= frame.image.y) return;
  vec3 x = max(imageLoad(colourImage, ivec2(pixel)).rgb, vec3(0.0)) * frame.cameraPosition.w;
  vec3 film = clamp((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14), vec3(0.0), vec3(1.0));
  vec3 low = film * 12.92;
  vec3 high = 1.055 * pow(max(film, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055;
  vec3 encoded = mix(high, low, lessThanEqual(film, vec3(0.0031308)));
  uvec3 bytes = uvec3(floor(clamp(encoded, vec3(0.0), vec3(1.0)) * 255.0 + 0.5));
  pixels[pixel.y * frame.image.x + pixel.x] = bytes.r | (bytes.g << 8) | (bytes.b << 16) | 0xff000000u;
}
