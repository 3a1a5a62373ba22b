# One step of the package tests; see CMakeLists.txt beside this file for the variables it is given.

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    string(JOIN " " command ${ARGV})
    message(FATAL_ERROR "failed (${code}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Runs a built hello: it must end well, with its gate ARMED (a DISARMED one holds the same letters).
function(run_hello program)
  run("${program}")
  if(NOT output MATCHES "(^|[^A-Z])ARMED")
    message(FATAL_ERROR "${program} ran, but does not say that its gate is ARMED:\n${output}")
  endif()
  message("${output}")
endfunction()

# Configures, builds in WORK/NAME and leaves the folder in `binary`. Without debug information, which nobody reads here.
function(build_consumer name)
  set(binary "${WORK}/${name}")
  set(launcher "")
  if(LAUNCHER)
    set(launcher "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_C_COMPILER_LAUNCHER=${LAUNCHER}")
  endif()
  file(REMOVE_RECURSE "${binary}")
  run(${CMAKE_COMMAND} -S "${ROOT}/tests/package/${name}" -B "${binary}" -G "${GENERATOR}"
      "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_C_COMPILER=${CC}" ${launcher} "-DHELLO=${HELLO}" -DCMAKE_CXX_FLAGS_DEBUG=-O0 ${ARGN})
  run(${CMAKE_COMMAND} --build "${binary}" --parallel 2)
  set(binary "${binary}" PARENT_SCOPE)
endfunction()

if(STEP STREQUAL "stage")
  file(REMOVE_RECURSE "${STAGE}" "${STAGE}-before-move")
  run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${STAGE}-before-move")
  file(RENAME "${STAGE}-before-move" "${STAGE}")

elseif(STEP STREQUAL "find_package")
  # Debug: the installed Release libraries and objects must serve a consumer of another build type.
  build_consumer(find_package "-DCMAKE_PREFIX_PATH=${STAGE}" -DCMAKE_BUILD_TYPE=Debug "-DWITH_GPU=${GPU}")
  run_hello("${binary}/hello")
  # The control: the same program without the gate must not claim to be armed.
  execute_process(COMMAND "${binary}/hello_ungated" OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(output MATCHES "(^|[^A-Z])ARMED")
    message(FATAL_ERROR "without the gate's objects, hello still says ARMED:\n${output}")
  endif()
  # The fixture and the listener pass what is quiet, and fail each planted allocation.
  run("${binary}/test_consumer")
  foreach(planted IN ITEMS "Cells.DISABLED_PlantedInABody|the test body allocated"
                           "Frames.DISABLED_PlantedInAFrame|made 1 allocations")
    string(REPLACE "|" ";" planted "${planted}")
    list(GET planted 0 test)
    list(GET planted 1 text)
    execute_process(COMMAND "${binary}/test_consumer" --gtest_also_run_disabled_tests "--gtest_filter=${test}"
                    RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(code EQUAL 0 OR NOT output MATCHES "${text}")
      message(FATAL_ERROR "${test} ended with ${code}, and should have failed because: ${text}\n${output}")
    endif()
  endforeach()
  if(GPU)
    run("${binary}/gpu_consumer")
  endif()

elseif(STEP STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} "${STAGE}/${LIBDIR}/pkgconfig")
  set(ENV{CXX} "${CXX}")
  file(MAKE_DIRECTORY "${WORK}/pkg_config")
  run(sh "${ROOT}/tests/package/pkg_config/build.sh" "${HELLO}" "${WORK}/pkg_config/hello")
  run_hello("${WORK}/pkg_config/hello")
  # The flags must carry what the installed libraries were built with.
  string(REPLACE "|" ";" definitions "${ASSERT_DEFINITION}")
  run(pkg-config --cflags stadial-gate)
  foreach(definition IN LISTS definitions)
    string(FIND "${output}" "-D${definition}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "pkg-config --cflags lacks -D${definition}: ${output}")
    endif()
  endforeach()

elseif(STEP STREQUAL "add_subdirectory")
  # As a unity build, which a parent may ask for: our layers know what can be compiled together. (That they compile file
  # by file is what the tree's own build shows.)
  build_consumer(add_subdirectory "-DSTADIAL=${ROOT}" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_UNITY_BUILD=ON)
  run_hello("${binary}/hello")

else()
  message(FATAL_ERROR "no such step: ${STEP}")
endif()
