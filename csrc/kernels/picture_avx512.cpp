#include "picture_impl.h"
#include "tables.h"

namespace oneglance {
const PictureKernels picture_kernels_avx512 = ONEGLANCE_PICTURE_TABLE;
}
