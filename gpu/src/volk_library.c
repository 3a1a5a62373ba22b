/* The meta-loader, compiled into this layer; only loader.cpp sees its header. */
#include <volk.c>
