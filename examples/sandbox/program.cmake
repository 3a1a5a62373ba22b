# The program of the sandbox on top of its content (sandbox_content): nodes, options, main loop, reports.
include(StadialShaders)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)

# A library, so that the tests drive the same code as the program.
stadial_compile_together(cells_node.cpp frame_node.cpp ray_march_node.cpp world_node.cpp)
stadial_compile_together(picture_node.cpp picture_store.cpp simulate_node.cpp)
stadial_compile_together(gpu_stack.cpp parse_text.cpp progress_bar.cpp sandbox_app.cpp sizing.cpp taa_node.cpp)
add_library(sandbox_program STATIC
  canary.cpp
  cells_node.cpp
  frame_node.cpp
  gpu_stack.cpp
  occupancy_node.cpp
  options.cpp
  parse_text.cpp
  picture_node.cpp
  picture_store.cpp
  progress_bar.cpp
  ray_march_node.cpp
  report.cpp
  sandbox_app.cpp
  simulate_node.cpp
  sizing.cpp
  taa_node.cpp
  tonemap_node.cpp
  world_node.cpp)
target_link_libraries(sandbox_program PUBLIC sandbox_content stadial::gpu)
target_link_libraries(sandbox_program PRIVATE CLI11::CLI11 nlohmann_json::nlohmann_json)
stadial_private_flags(sandbox_program)
stadial_outside_frames(options.cpp report.cpp sizing.cpp)
stadial_unity(sandbox_program layers)
if(STADIAL_SANITIZE)
  # Command line and JSON: all template, half a minute each when a sanitizer's checks are optimised.
  set_source_files_properties(options.cpp report.cpp PROPERTIES COMPILE_OPTIONS -O0)
endif()
stadial_add_shaders(sandbox_program
  SOURCES
    shaders/automaton.comp
    shaders/occupancy.comp
    shaders/ray_march.comp
    shaders/taa.comp
    shaders/tonemap.comp
  DEPENDS shaders/common.glsl)

# The gate is an OBJECT target: linked by programs, never by libraries. Exported symbols give its reports names.
function(stadial_sandbox_executable name)
  add_executable(${name} main.cpp ${ARGN})
  target_link_libraries(${name} PRIVATE sandbox_program stadial::gate)
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
  stadial_private_flags(${name})
endfunction()

stadial_sandbox_executable(sandbox)
# The same program with one allocation planted in frame 100: the linker takes this canary.cpp instead of the library's.
stadial_sandbox_executable(sandbox_canary canary.cpp)
target_compile_definitions(sandbox_canary PRIVATE STADIAL_SANDBOX_CANARY)
