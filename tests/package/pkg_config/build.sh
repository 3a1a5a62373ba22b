#!/bin/sh
# build.sh SOURCE PROGRAM: what a Makefile would say.
set -eu
# shellcheck disable=SC2046  # the flags are words
exec "${CXX:-c++}" -std=c++20 -O2 "$1" $(pkg-config --cflags --libs stadial-gate) -o "$2"
