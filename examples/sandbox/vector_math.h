// The few vector operations the sandbox needs, in single precision, each one IEEE operation per component and
// in a fixed order, so that the CPU references do what the shaders do.
#pragma once

#include <cmath>

namespace stadial::sandbox {

struct Vec3 {
  float x = 0.0F, y = 0.0F, z = 0.0F;
  bool operator==(const Vec3&) const = default;
};

constexpr Vec3 operator+(Vec3 a, Vec3 b) noexcept { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
constexpr Vec3 operator-(Vec3 a, Vec3 b) noexcept { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
constexpr Vec3 operator*(Vec3 a, Vec3 b) noexcept { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
constexpr Vec3 operator*(Vec3 a, float s) noexcept { return {a.x * s, a.y * s, a.z * s}; }
constexpr Vec3 operator-(Vec3 a) noexcept { return {-a.x, -a.y, -a.z}; }
constexpr float Dot(Vec3 a, Vec3 b) noexcept { return a.x * b.x + a.y * b.y + a.z * b.z; }
constexpr Vec3 Cross(Vec3 a, Vec3 b) noexcept {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline float Length(Vec3 a) noexcept { return std::sqrt(Dot(a, a)); }
inline Vec3 Normalize(Vec3 a) noexcept { return a * (1.0F / Length(a)); }
constexpr Vec3 Mix(Vec3 a, Vec3 b, float t) noexcept { return a * (1.0F - t) + b * t; }
constexpr float Component(Vec3 a, int axis) noexcept { return axis == 0 ? a.x : axis == 1 ? a.y : a.z; }
constexpr void SetComponent(Vec3& a, int axis, float value) noexcept {
  (axis == 0 ? a.x : axis == 1 ? a.y : a.z) = value;
}

}  // namespace stadial::sandbox
