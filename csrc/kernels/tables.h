#pragma once
#include "oneglance/panel_kernels.h"

namespace oneglance {

extern const PanelKernels panel_kernels_baseline;
extern const PanelKernels panel_kernels_avx2;
extern const PanelKernels panel_kernels_avx512;

}  // namespace oneglance
