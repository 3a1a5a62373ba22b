# A program runs 3,000 frames, paced; meanwhile watch finds it by its name and follows it to the end.
string(RANDOM LENGTH 8 suffix)
set(name "watched_${suffix}")
execute_process(
  COMMAND sh -c "\"${PUBLISHER}\" ${name} 3000 end & for i in $(seq 200); do \"${WATCH}\" ${name} && exit 0; sleep 0.02; done; exit 1"
  RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE errors)
message("${output}${errors}")
if(NOT code EQUAL 0)
  message(FATAL_ERROR "watch never found the program")
endif()
foreach(pattern "${name}, process [0-9]+" "frame [0-9]+0: [0-9.]+ us, the worst" "frame_0 [0-9]+ KiB"
        "ended after 3000 frames: 3000 seen, 0 missed")
  if(NOT output MATCHES "${pattern}")
    message(FATAL_ERROR "watch does not print \"${pattern}\"")
  endif()
endforeach()
execute_process(COMMAND "${WATCH}" no_such_program RESULT_VARIABLE code ERROR_VARIABLE errors)
if(code EQUAL 0 OR NOT errors MATCHES "no running program 'no_such_program'")
  message(FATAL_ERROR "watch of no program says: ${errors}")
endif()
