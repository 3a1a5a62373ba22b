# stadial_add_compile_fail_test(NAME SOURCE file EXPECT regex [MACRO macro] [LINK target...]): a ctest which shows
# that an error does not compile. It compiles `file` as a source that links the targets would be compiled (include
# folders, definitions, C++20): with -DMACRO (default STADIAL_COMPILE_FAIL) it must not compile, and the compiler's
# output must match EXPECT. Without, it must, which shows that nothing else is wrong with it: a test of its own,
# NAME.control, once for all the macros of a file. One file may hold several errors, each behind its own macro:
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
    set(compilation
      "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DSOURCE=${source}"
      "-DINCLUDES=$<JOIN:$<TARGET_PROPERTY:${carrier},INCLUDE_DIRECTORIES>,|>"
      "-DDEFINITIONS=$<JOIN:$<TARGET_PROPERTY:${carrier},COMPILE_DEFINITIONS>,|>")
    add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} ${compilation} "-DMACRO=${FAIL_MACRO}" "-DEXPECT=${FAIL_EXPECT}"
             -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
    set(tests ${name})
    # What a file links decides how it compiles: a control for each such way.
    string(JOIN " " way "${source}" ${FAIL_LINK})
    get_property(controlled GLOBAL PROPERTY STADIAL_COMPILE_FAIL_CONTROLS)
    if(NOT way IN_LIST controlled)
      set_property(GLOBAL APPEND PROPERTY STADIAL_COMPILE_FAIL_CONTROLS "${way}")
      add_test(NAME ${name}.control COMMAND ${CMAKE_COMMAND} ${compilation} -P "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
      list(APPEND tests ${name}.control)
    endif()
    file(RELATIVE_PATH label "${stadial_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
    string(REGEX REPLACE "/.*" "" label "${label}")
    set_tests_properties(${tests} PROPERTIES LABELS "${label}" TIMEOUT 120)
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
if(NOT MACRO)
  execute_process(COMMAND ${command} "${SOURCE}" RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${SOURCE} must compile without a macro, but does not:\n${output}")
  endif()
  return()
endif()
execute_process(COMMAND ${command} "-D${MACRO}" "${SOURCE}"
                RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(code EQUAL 0)
  message(FATAL_ERROR "${SOURCE} must not compile with ${MACRO}, but does")
elseif(NOT output MATCHES "${EXPECT}")
  message(FATAL_ERROR "${SOURCE} does not compile with ${MACRO}, but nothing says '${EXPECT}':\n${output}")
endif()
message(STATUS "${MACRO}: does not compile, because of '${CMAKE_MATCH_0}'")
