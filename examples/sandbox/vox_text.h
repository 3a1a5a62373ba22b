// How the values of a .vox file's dictionaries are read: text to numbers and names. Private to the reader.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "vox_file.h"

namespace stadial::sandbox {

// Takes a whole number, and spaces before it, off the front of `text`.
inline bool ParseInt(std::string_view& text, std::int32_t& value) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

inline bool OnlySpaces(std::string_view text) {
  return text.find_first_not_of(' ') == std::string_view::npos;
}

// The whole text must be one finite number; else `value` stays as it was.
inline bool ParseFloat(std::string_view text, float& value) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  float parsed = 0.0F;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc{} || !std::isfinite(parsed)) return false;
  if (!OnlySpaces(std::string_view{end, static_cast<std::size_t>(text.data() + text.size() - end)}))
    return false;
  value = parsed;
  return true;
}

inline VoxMaterialType ParseMaterialType(std::string_view text) {
  if (text == "_diffuse") return VoxMaterialType::Diffuse;
  if (text == "_metal") return VoxMaterialType::Metal;
  if (text == "_glass") return VoxMaterialType::Glass;
  if (text == "_emit") return VoxMaterialType::Emit;
  if (text == "_blend") return VoxMaterialType::Blend;
  if (text == "_media" || text == "_cloud") return VoxMaterialType::Media;
  return VoxMaterialType::Unknown;
}

inline VoxBehaviour ParseBehaviour(std::string_view text) {
  if (text == "stone") return VoxBehaviour::Stone;
  if (text == "sand") return VoxBehaviour::Sand;
  if (text == "water") return VoxBehaviour::Water;
  return VoxBehaviour::Unset;
}

}  // namespace stadial::sandbox
