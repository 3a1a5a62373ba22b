# stadial_add_instruction_test(NAME PROBE target LABEL label [CONFIGURATION words]): a ctest which counts the
# instructions of a probe under valgrind and compares them exactly, by the check_instructions.py and the expected.json
# of the calling folder. The numbers hold for one configuration only; CONFIGURATION adds to its name.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(stadial_add_instruction_test name)
  cmake_parse_arguments(COUNT "" "PROBE;LABEL;CONFIGURATION" "" ${ARGN})
  set(configuration
    "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_BUILD_TYPE} asserts=${STADIAL_ASSERT_LEVEL}")
  if(STADIAL_SANITIZE)
    string(APPEND configuration " sanitize=${STADIAL_SANITIZE}")
  endif()
  if(COUNT_CONFIGURATION)
    string(APPEND configuration " ${COUNT_CONFIGURATION}")
  endif()
  if(CMAKE_CXX_FLAGS)
    string(APPEND configuration " ${CMAKE_CXX_FLAGS}")
  endif()
  add_test(NAME ${name}
           COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/check_instructions.py
                   --probe $<TARGET_FILE:${COUNT_PROBE}> --expected ${CMAKE_CURRENT_SOURCE_DIR}/expected.json
                   "--configuration=${configuration}")
  set_tests_properties(${name} PROPERTIES LABELS ${COUNT_LABEL} TIMEOUT 240 SKIP_RETURN_CODE 77)
endfunction()
