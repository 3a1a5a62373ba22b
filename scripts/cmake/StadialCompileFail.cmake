# stadial_add_compile_fail_test(NAME SOURCE file EXPECT regex [MACRO macro] [LINK target...]): a ctest which shows
# that an error does not compile. It compiles `file` twice, as a source that links the targets would be compiled
# (include folders, definitions, C++20): without MACRO (default STADIAL_COMPILE_FAIL) it must compile, which shows
# that nothing else is wrong with it; with -DMACRO it must not, and the compiler's output must match EXPECT. One
# file may hold several errors, each behind its own macro:
#
#   struct Leaky { ~Leaky() {} };
#   void Use(Arena& arena) {
#     arena.New<int>();
#   #ifdef STADIAL_COMPILE_FAIL
#     arena.New<Leaky>();
#   #endif
#   }
#
# Match words of our own messages, not of one compiler's. The same file is the script that the test runs.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  function(stadial_add_compile_fail_test name)
    cmake_parse_arguments(FAIL "" "SOURCE;EXPECT;MACRO" "LINK" ${ARGN})
    if(NOT FAIL_SOURCE OR NOT FAIL_EXPECT OR FAIL_UNPARSED_ARGUMENTS)
      message(FATAL_ERROR "stadial_add_compile_fail_test(${name}): needs SOURCE and EXPECT, got '${ARGN}'")
    endif()
    if(NOT FAIL_MACRO)
      set(FAIL_MACRO STADIAL_COMPILE_FAIL)
    endif()
    # What compiles does not depend on a sanitizer.
    if(STADIAL_SANITIZE)
      return()
    endif()
    # Never built; it carries the usage requirements of what it links.
    set(carrier "${name}.compile_fail")
    get_filename_component(source "${FAIL_SOURCE}" ABSOLUTE)
    add_library(${carrier} OBJECT EXCLUDE_FROM_ALL "${source}")
    target_link_libraries(${carrier} PRIVATE ${FAIL_LINK})
    add_test(NAME ${name} COMMAND ${CMAKE_COMMAND}
      "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DSOURCE=${source}" "-DMACRO=${FAIL_MACRO}" "-DEXPECT=${FAIL_EXPECT}"
      "-DINCLUDES=$<JOIN:$<TARGET_PROPERTY:${carrier},INCLUDE_DIRECTORIES>,|>"
      "-DDEFINITIONS=$<JOIN:$<TARGET_PROPERTY:${carrier},COMPILE_DEFINITIONS>,|>"
      -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
    file(RELATIVE_PATH label "${stadial_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
    string(REGEX REPLACE "/.*" "" label "${label}")
    set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT 120)
  endfunction()
  return()
endif()

function(as_flags out prefix joined)
  string(REPLACE "|" ";" items "${joined}")
  list(FILTER items EXCLUDE REGEX "^$")
  list(REMOVE_DUPLICATES items)
  list(TRANSFORM items PREPEND "${prefix}")
  set(${out} "${items}" PARENT_SCOPE)
endfunction()
as_flags(includes "-I" "${INCLUDES}")
as_flags(definitions "-D" "${DEFINITIONS}")

set(command "${COMPILER}" -std=c++20 -fsyntax-only ${includes} ${definitions})
execute_process(COMMAND ${command} "${SOURCE}" RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${SOURCE} must compile without ${MACRO}, but does not:\n${output}")
endif()
execute_process(COMMAND ${command} "-D${MACRO}" "${SOURCE}"
                RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(code EQUAL 0)
  message(FATAL_ERROR "${SOURCE} must not compile with ${MACRO}, but does")
elseif(NOT output MATCHES "${EXPECT}")
  message(FATAL_ERROR "${SOURCE} does not compile with ${MACRO}, but nothing says '${EXPECT}':\n${output}")
endif()
message(STATUS "${MACRO}: does not compile, because of '${CMAKE_MATCH_0}'")
