# Functions that give every Stadial target the same flags and every layer its own include root, so
# that an upward include is not merely forbidden but does not compile. Nothing here reaches a project that
# takes Stadial in with add_subdirectory: flags are private to our targets, defaults apply at top level only.

include(GNUInstallDirs)
include(StadialSuites)

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
  endif()
  find_program(STADIAL_CCACHE ccache)
  mark_as_advanced(STADIAL_CCACHE)
  # (ccache has nothing to keep of a build that only looks, see below.)
  if(STADIAL_CCACHE AND NOT STADIAL_EFFECTS AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    # ccache serves what is compiled with a precompiled header only when told that it may.
    set(CMAKE_C_COMPILER_LAUNCHER "${STADIAL_CCACHE}")
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${STADIAL_CCACHE}")
  endif()
endif()

if(STADIAL_EFFECTS)
  if(NOT (CMAKE_CXX_COMPILER_ID MATCHES Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 20))
    message(FATAL_ERROR "STADIAL_EFFECTS needs clang 20 or later (Debian: clang-22), not ${CMAKE_CXX_COMPILER_ID} "
            "${CMAKE_CXX_COMPILER_VERSION}; use the preset 'effects'")
  endif()
  # The question is what compiles: no code is generated, and objects, libraries and programs are empty files.
  set(CMAKE_CXX_COMPILE_OBJECT
      "<CMAKE_CXX_COMPILER> <DEFINES> <INCLUDES> <FLAGS> -fsyntax-only <SOURCE>" ": > <OBJECT>")
  set(CMAKE_C_COMPILE_OBJECT ": > <OBJECT>")
  set(CMAKE_CXX_ARCHIVE_CREATE ": > <TARGET>")
  set(CMAKE_CXX_ARCHIVE_APPEND ": > <TARGET>")
  set(CMAKE_CXX_ARCHIVE_FINISH ":")
  set(CMAKE_CXX_LINK_EXECUTABLE ": > <TARGET>")
  set(CMAKE_CXX_COMPILE_OPTIONS_PIC "")
  set(CMAKE_CXX_COMPILE_OPTIONS_PIE "")
  # Half of the time goes into the standard's headers: once for all files.
  set(stadialEffectsPch "${CMAKE_BINARY_DIR}/effects_headers.pch")
  set(stadialEffectsHeaders "${CMAKE_CURRENT_LIST_DIR}/effects_headers.h")
  add_custom_command(OUTPUT "${stadialEffectsPch}" MAIN_DEPENDENCY "${stadialEffectsHeaders}" VERBATIM
    COMMAND ${CMAKE_CXX_COMPILER} -std=gnu++20 -O0 -fpch-instantiate-templates -x c++-header "${stadialEffectsHeaders}"
            -o "${stadialEffectsPch}")
  add_custom_target(stadial_effects_headers DEPENDS "${stadialEffectsPch}")
endif()

# stadial_outside_frames(FILE...): sources of this folder in which no function runs in a frame and which take long to
# read (JSON, command lines): the build with function effects leaves them out. A frame that reached one all the same
# would be found by the walk over the objects.
function(stadial_outside_frames)
  if(STADIAL_EFFECTS)
    set_source_files_properties(${ARGN} PROPERTIES HEADER_FILE_ONLY ON)
  endif()
endfunction()

# Flags for our own code only; consumers of an installed package never see them.
function(stadial_private_flags target)
  if(STADIAL_EFFECTS)
    # Other warnings are other builds' business.
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Werror=function-effects -include-pch ${stadialEffectsPch}>")
    add_dependencies(${target} stadial_effects_headers)
    return()
  endif()
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
    -fno-omit-frame-pointer)
  if(STADIAL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(NOT STADIAL_SANITIZE)
    # A function and a table each in a section of its own: the walk of tests/reachability needs it, and a program's
    # linker can leave out what it does not use (--gc-sections).
    target_compile_options(${target} PRIVATE -ffunction-sections -fdata-sections)
  else()
    target_compile_options(${target} PRIVATE -fsanitize=${STADIAL_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${STADIAL_SANITIZE})
    if(STADIAL_SANITIZE MATCHES "memory")
      # GoogleTest and the C++ library are not instrumented: what they write to a stack that was poisoned nobody sees.
      target_compile_options(${target} PRIVATE "SHELL:-mllvm -msan-poison-stack=0")
    endif()
  endif()
endfunction()

# stadial_compile_together(FILE...): files of this folder that are one translation unit where STADIAL_UNITY says so. Most of
# what a small file costs to compile is what its neighbours need as well. Files that nobody groups are compiled alone,
# as all are without STADIAL_UNITY. Names of unnamed namespaces must differ within a group.
function(stadial_compile_together first)
  get_filename_component(group "${first}" NAME_WE)
  set_source_files_properties(${first} ${ARGN} PROPERTIES UNITY_GROUP "${group}")
endfunction()

# stadial_groups_of(FOLDER FILE...): the groups of another folder's files hold for targets of this one too.
function(stadial_groups_of folder)
  foreach(source IN LISTS ARGN)
    get_source_file_property(group "${source}" DIRECTORY "${folder}" UNITY_GROUP)
    if(group)
      set_source_files_properties("${source}" PROPERTIES UNITY_GROUP "${group}")
    endif()
  endforeach()
endfunction()

# stadial_unity(TARGET KIND): the groups of a target of this kind (tests or layers) hold where STADIAL_UNITY says so, and
# for a project that takes Stadial in and sets CMAKE_UNITY_BUILD.
function(stadial_unity target kind)
  set_target_properties(${target} PROPERTIES UNITY_BUILD_MODE GROUP)
  if(STADIAL_UNITY STREQUAL "all" OR STADIAL_UNITY STREQUAL kind)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON)
  endif()
  # GCC takes a file that another one includes for a header, whose types should not hold what has internal linkage.
  target_compile_options(${target} PRIVATE
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<COMPILE_LANGUAGE:CXX>,$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>>:-Wno-subobject-linkage>)
endfunction()

# stadial_add_layer(NAME SOURCES ... DEPENDS ...): a static library `stadial_NAME`, alias `stadial::NAME`.
# A private dependency that only the build needs (a header-only library) is linked as $<BUILD_INTERFACE:...>,
# so that an installed package does not ask its users for it.
function(stadial_add_layer name)
  cmake_parse_arguments(LAYER "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(stadial_${name} STATIC ${LAYER_SOURCES})
  add_library(stadial::${name} ALIAS stadial_${name})
  set_target_properties(stadial_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(stadial_${name} PUBLIC cxx_std_20)
  target_include_directories(stadial_${name}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
  target_link_libraries(stadial_${name} PUBLIC ${LAYER_DEPENDS})
  stadial_private_flags(stadial_${name})
  stadial_unity(stadial_${name} layers)
  # GCC does not inline a layer's own functions into position-independent code otherwise, since a program might
  # replace each of them (the recycler takes twice the time).
  target_compile_options(stadial_${name} PRIVATE -fno-semantic-interposition)
endfunction()

# Flags of the test programs: what is tested keeps its own (the layers are libraries), the test files themselves compile
# faster. Optimised builds take -O1, which is enough for calls to be inlined; under a sanitizer -O1 would take three
# times as long as -O0. Null accesses need no check of UndefinedBehaviorSanitizer's here, AddressSanitizer names their place
# too. ccache looks inside a precompiled header with -fpch-preprocess only.
function(stadial_test_flags target)
  stadial_private_flags(${target})
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  if(STADIAL_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
    if(STADIAL_SANITIZE MATCHES "undefined")
      target_compile_options(${target} PRIVATE -fno-sanitize=null)
    endif()
  else()
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endfunction()

# stadial_add_test(NAME [GATED] [OPTIMIZED] [ONE_THREAD] [EACH_CASE] SOURCES ... LINK ... [LABELS label] [TIMEOUT seconds]): one
# GoogleTest program, its cases listed to ctest one by one, each a process; under ASan and TSan suite by suite, unless EACH_CASE
# says that cases are long and need no company. GATED links the allocation gate into the program; OPTIMIZED is for a test
# about what an optimiser does to its own code; ONE_THREAD is for tests that start no thread: there is nothing in them for
# ThreadSanitizer to see, whose build leaves them out. The label defaults to the folder under tests/. A case (a suite) may run
# for 120 seconds unless TIMEOUT says otherwise (twice that under a sanitizer).
# The discovery of cases loses all but the first value of a list-valued property: hence one label, and hence the
# sanitizers' options and suppressions stand in the test presets.
function(stadial_add_test name)
  cmake_parse_arguments(TEST "GATED;OPTIMIZED;ONE_THREAD;EACH_CASE" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  if(TEST_ONE_THREAD AND STADIAL_SANITIZE MATCHES "thread")
    return()
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_LINK} GTest::gmock GTest::gtest_main)
  if(TEST_GATED)
    target_link_libraries(${name} PRIVATE stadial::gate)
  endif()
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
  stadial_test_flags(${name})
  stadial_unity(${name} tests)
  if(TEST_OPTIMIZED)
    # Without the precompiled header: g++ 12 crashes on one that was made at another level.
    if(NOT STADIAL_SANITIZE)
      target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O3>)
    endif()
  else()
    target_precompile_headers(${name} REUSE_FROM stadial_test_headers)
  endif()
  if(NOT TEST_LABELS)
    file(RELATIVE_PATH TEST_LABELS "${stadial_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
    string(REGEX REPLACE "/.*" "" TEST_LABELS "${TEST_LABELS}")
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(STADIAL_SANITIZE)
    math(EXPR TEST_TIMEOUT "${TEST_TIMEOUT} * 2")
  endif()
  # MemorySanitizer's build picks its cases by name.
  if(STADIAL_SANITIZE AND NOT STADIAL_SANITIZE MATCHES "memory" AND NOT TEST_EACH_CASE)
    stadial_discover_suites(${name} LABEL "${TEST_LABELS}" TIMEOUT ${TEST_TIMEOUT})
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

# stadial_add_bench(NAME [GATED] SOURCES ... [LINK ...] [ARGS ...]): one Google Benchmark program (it has its own
# BENCHMARK_MAIN()), run briefly by ctest so that no benchmark rots.
function(stadial_add_bench name)
  cmake_parse_arguments(BENCH "GATED" "" "SOURCES;LINK;ARGS" ${ARGN})
  add_executable(${name} ${BENCH_SOURCES})
  target_link_libraries(${name} PRIVATE ${BENCH_LINK} benchmark::benchmark)
  if(BENCH_GATED)
    target_link_libraries(${name} PRIVATE stadial::gate)
  endif()
  stadial_private_flags(${name})
  # Google Benchmark's macros count with __COUNTER__, which this clang calls an extension.
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 22)
    target_compile_options(${name} PRIVATE -Wno-c2y-extensions)
  endif()
  set_property(GLOBAL APPEND PROPERTY STADIAL_BENCHES ${name})
  if(STADIAL_BUILD_TESTS)
    add_test(NAME ${name}.smoke COMMAND ${name} --benchmark_min_time=0.01 ${BENCH_ARGS})
    set_tests_properties(${name}.smoke PROPERTIES LABELS bench TIMEOUT 240)
  endif()
endfunction()
