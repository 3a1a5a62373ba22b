# stadial_add_shaders(TARGET SOURCES a.comp b.comp ... [DEPENDS common.glsl ...] [PREFIX folder])
#
# Compiles GLSL to SPIR-V at build time and makes one header per shader, which TARGET can include:
#   shaders/ray_march.comp  ->  #include "ray_march.comp.h"  with  const uint32_t kRayMarchCompSpirv[]
# With PREFIX p the header is included as "p/ray_march.comp.h". DEPENDS names files that the sources #include
# (GL_GOOGLE_include_directive), so that a change in them compiles the shaders again.
# Needs glslangValidator (Debian: glslang-tools); the code is for Vulkan 1.2, what the gpu layer asks of a device.

find_program(STADIAL_GLSLANG glslangValidator DOC "The GLSL compiler (Debian: glslang-tools)")

# ray_march.comp -> kRayMarchCompSpirv
function(stadial_shader_variable fileName result)
  string(REGEX REPLACE "[^A-Za-z0-9]+" ";" words "${fileName}")
  set(name "k")
  foreach(word IN LISTS words)
    string(SUBSTRING "${word}" 0 1 first)
    string(SUBSTRING "${word}" 1 -1 rest)
    string(TOUPPER "${first}" first)
    string(APPEND name "${first}${rest}")
  endforeach()
  set(${result} "${name}Spirv" PARENT_SCOPE)
endfunction()

function(stadial_add_shaders target)
  cmake_parse_arguments(SHADERS "" "PREFIX" "SOURCES;DEPENDS" ${ARGN})
  if(NOT STADIAL_GLSLANG)
    message(FATAL_ERROR "glslangValidator was not found; install glslang-tools, or set STADIAL_GLSLANG to its path")
  endif()
  set(root "${CMAKE_CURRENT_BINARY_DIR}/shaders/${target}")
  set(folder "${root}")
  if(SHADERS_PREFIX)
    set(folder "${root}/${SHADERS_PREFIX}")
  endif()
  file(MAKE_DIRECTORY "${folder}")
  list(TRANSFORM SHADERS_DEPENDS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  set(headers)
  foreach(source IN LISTS SHADERS_SOURCES)
    get_filename_component(fileName "${source}" NAME)
    get_filename_component(path "${source}" ABSOLUTE)
    stadial_shader_variable("${fileName}" variable)
    set(header "${folder}/${fileName}.h")
    add_custom_command(
      OUTPUT "${header}"
      COMMAND "${STADIAL_GLSLANG}" -V --quiet --target-env vulkan1.2 --vn ${variable} -o "${header}" "${path}"
      DEPENDS "${path}" ${SHADERS_DEPENDS}
      COMMENT "Compiling shader ${fileName}"
      VERBATIM)
    list(APPEND headers "${header}")
  endforeach()
  target_sources(${target} PRIVATE ${headers})
  target_include_directories(${target} PRIVATE "${root}")
endfunction()
