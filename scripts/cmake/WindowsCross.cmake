# Toolchain for 64-bit Windows from Debian: g++-mingw-w64-x86-64-posix (its C++ library has threads), wine64 to run what
# was built. Used by scripts/windows.sh.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Programs that run without the compiler's own DLLs beside them.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
find_program(STADIAL_WINE NAMES wine64 wine PATHS /usr/lib/wine)
mark_as_advanced(STADIAL_WINE)
if(STADIAL_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${STADIAL_WINE}")
endif()
