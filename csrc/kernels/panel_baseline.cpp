// Whatever the compiler's default target is: SSE2 on x86-64, NEON on 64-bit Arm.
#include "panel_impl.h"

#include "tables.h"

namespace oneglance {
const PanelKernels panel_kernels_baseline = ONEGLANCE_PANEL_TABLE;
}
