// Each macro turns on one include that reaches upward from the layer this file is compiled for.
#ifdef INCLUDE_RUNTIME
#include "stadial/runtime/phase.h"
#endif
#ifdef INCLUDE_GRAPH
#include "stadial/graph/requirements.h"
#endif
#ifdef INCLUDE_GPU
#include "stadial/gpu/device.h"
#endif
