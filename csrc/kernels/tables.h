#pragma once
#include "oneglance/distance_kernels.h"
#include "oneglance/mask_kernels.h"
#include "oneglance/panel_kernels.h"
#include "oneglance/picture_kernels.h"

namespace oneglance {

extern const PanelKernels panel_kernels_baseline;
extern const PanelKernels panel_kernels_avx2;
extern const PanelKernels panel_kernels_avx512;
extern const DistanceKernels distance_kernels_baseline;
extern const DistanceKernels distance_kernels_avx2;
extern const DistanceKernels distance_kernels_avx512;
extern const MaskKernels mask_kernels_baseline;
extern const MaskKernels mask_kernels_avx2;
extern const MaskKernels mask_kernels_avx512;
extern const PictureKernels picture_kernels_baseline;
extern const PictureKernels picture_kernels_avx2;
extern const PictureKernels picture_kernels_avx512;

}  // namespace oneglance
