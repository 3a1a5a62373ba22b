# stadial_discover_suites(PROGRAM LABEL label TIMEOUT seconds): the cases of a GoogleTest program, told to ctest suite by
# suite: PROGRAM.SUITE is one process that runs the suite's cases one after the other. A process costs 20 to 70 ms of
# processor time under a sanitizer, which is more than most cases. This file is also what ctest includes to ask the
# program for its suites. A suite some of whose cases are skipped counts as passed.

if(NOT STADIAL_SUITES_PROGRAM)
  function(stadial_discover_suites program)
    cmake_parse_arguments(SUITES "" "LABEL;TIMEOUT" "" ${ARGN})
    set(file "${CMAKE_CURRENT_BINARY_DIR}/${program}_suites.cmake")
    file(GENERATE OUTPUT "${file}" CONTENT
"set(STADIAL_SUITES_PROGRAM \"${program}\")
set(STADIAL_SUITES_FILE \"$<TARGET_FILE:${program}>\")
set(STADIAL_SUITES_LABEL \"${SUITES_LABEL}\")
set(STADIAL_SUITES_TIMEOUT ${SUITES_TIMEOUT})
set(STADIAL_SUITES_FOLDER \"${CMAKE_CURRENT_BINARY_DIR}\")
include(\"${CMAKE_CURRENT_FUNCTION_LIST_FILE}\")
unset(STADIAL_SUITES_PROGRAM)
")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${file}")
  endfunction()
  return()
endif()

# A program that does not exist or does not answer is a test that fails, as with gtest_discover_tests.
set(stadialSuitesCode "not built")
if(EXISTS "${STADIAL_SUITES_FILE}")
  execute_process(COMMAND "${STADIAL_SUITES_FILE}" --gtest_list_tests WORKING_DIRECTORY "${STADIAL_SUITES_FOLDER}"
                  RESULT_VARIABLE stadialSuitesCode OUTPUT_VARIABLE stadialSuitesListing ERROR_QUIET TIMEOUT 60)
endif()
if(NOT stadialSuitesCode EQUAL 0)
  add_test(${STADIAL_SUITES_PROGRAM}_NOT_BUILT ${STADIAL_SUITES_PROGRAM}_NOT_BUILT)
  return()
endif()
# "Modes/EventBusModel.  # TypeParam = ..." at the start of a line names a suite, a line with two spaces before it a case.
string(REGEX MATCHALL "\n[A-Za-z_][A-Za-z0-9_/]*\\." stadialSuitesLines "\n${stadialSuitesListing}")
foreach(line IN LISTS stadialSuitesLines)
  string(REGEX REPLACE "^\n([A-Za-z0-9_/]+)\\.$" "\\1" suite "${line}")
  set(name "${STADIAL_SUITES_PROGRAM}.${suite}")
  add_test("${name}" "${STADIAL_SUITES_FILE}" "--gtest_filter=${suite}.*")
  set_tests_properties("${name}" PROPERTIES WORKING_DIRECTORY "${STADIAL_SUITES_FOLDER}"
                       LABELS "${STADIAL_SUITES_LABEL}" TIMEOUT ${STADIAL_SUITES_TIMEOUT})
endforeach()
