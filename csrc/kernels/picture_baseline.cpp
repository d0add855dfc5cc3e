#include "picture_impl.h"
#include "tables.h"

namespace oneglance {
const PictureKernels picture_kernels_baseline = ONEGLANCE_PICTURE_TABLE;
}
