// Owns the precompiled header that all test programs share (see CMakeLists.txt beside it).
