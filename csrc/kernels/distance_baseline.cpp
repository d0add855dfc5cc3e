#include "distance_impl.h"
#include "tables.h"

namespace oneglance {
const DistanceKernels distance_kernels_baseline = ONEGLANCE_DISTANCE_TABLE;
}
