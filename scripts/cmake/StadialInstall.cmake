# Install rules and package files, for every layer in one place: headers, static libraries, the gate's objects,
# stadialConfig.cmake and the pkg-config files. All of them relocate with the installed tree.

include(CMakePackageConfigHelpers)

set(STADIAL_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/stadial")
set(STADIAL_OBJECTS_DIR "${CMAKE_INSTALL_LIBDIR}/stadial")

set(STADIAL_COMPONENTS arenas runtime graph)
if(STADIAL_BUILD_GPU)
  list(APPEND STADIAL_COMPONENTS gpu)
endif()
foreach(layer IN LISTS STADIAL_COMPONENTS)
  # gpu has an export set of its own, so that a consumer of the other layers needs no Vulkan headers.
  set(export stadialTargets)
  if(layer STREQUAL "gpu")
    set(export stadialGpuTargets)
  endif()
  install(TARGETS stadial_${layer} EXPORT ${export} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${layer}/include/stadial" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")
endforeach()

# The gate is installed as object files: from an archive, a linker would leave out a member that defines malloc.
if(TARGET stadial_gate)
  install(TARGETS stadial_gate EXPORT stadialTargets OBJECTS DESTINATION ${STADIAL_OBJECTS_DIR})
  list(APPEND STADIAL_COMPONENTS gate)

  get_target_property(sources stadial_gate SOURCES)
  set(STADIAL_GATE_OBJECTS "")
  foreach(source IN LISTS sources)
    if(source MATCHES "\\.(cpp|c|S)$")
      cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${source}" NORMALIZE isAbsolute)
      if(isAbsolute)
        get_target_property(base stadial_gate SOURCE_DIR)
        cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${base}")
      endif()
      string(APPEND STADIAL_GATE_OBJECTS
        " \${libdir}/stadial/objects-${CMAKE_BUILD_TYPE}/stadial_gate/${source}${CMAKE_CXX_OUTPUT_EXTENSION}")
    endif()
  endforeach()
endif()

install(EXPORT stadialTargets NAMESPACE stadial:: DESTINATION ${STADIAL_PACKAGE_DIR})
if(STADIAL_BUILD_GPU)
  install(EXPORT stadialGpuTargets NAMESPACE stadial:: DESTINATION ${STADIAL_PACKAGE_DIR})
endif()
configure_package_config_file("${PROJECT_SOURCE_DIR}/scripts/cmake/stadialConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/stadialConfig.cmake" INSTALL_DESTINATION ${STADIAL_PACKAGE_DIR})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/stadialConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/stadialConfig.cmake" "${PROJECT_BINARY_DIR}/stadialConfigVersion.cmake"
        DESTINATION ${STADIAL_PACKAGE_DIR})

# pkg-config: ${pcfiledir} makes the files follow the tree wherever it is moved.
cmake_path(SET pcDir NORMALIZE "/${CMAKE_INSTALL_LIBDIR}/pkgconfig")
cmake_path(RELATIVE_PATH pcDir BASE_DIRECTORY "/" OUTPUT_VARIABLE pcFromPrefix)
string(REGEX REPLACE "[^/]+" ".." STADIAL_PC_TO_PREFIX "${pcFromPrefix}")
get_target_property(definitions stadial_arenas INTERFACE_COMPILE_DEFINITIONS)
set(STADIAL_PC_CFLAGS "")
if(definitions)
  list(TRANSFORM definitions PREPEND " -D" OUTPUT_VARIABLE STADIAL_PC_CFLAGS)
  string(REPLACE ";" "" STADIAL_PC_CFLAGS "${STADIAL_PC_CFLAGS}")
endif()
set(pcFiles stadial)
if(STADIAL_BUILD_GPU)
  list(APPEND pcFiles stadial-gpu)
endif()
if(TARGET stadial_gate)
  list(APPEND pcFiles stadial-gate)
endif()
foreach(pc IN LISTS pcFiles)
  configure_file("${PROJECT_SOURCE_DIR}/scripts/cmake/${pc}.pc.in" "${PROJECT_BINARY_DIR}/${pc}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${pc}.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR})
