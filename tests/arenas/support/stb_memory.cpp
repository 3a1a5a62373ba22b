#include "support/stb_memory.h"

// stb casts what our macros return, and the compiler counts that as our code.
#pragma GCC diagnostic ignored "-Wold-style-cast"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
