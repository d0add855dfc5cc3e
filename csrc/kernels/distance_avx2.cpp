// AVX2 + FMA: the compiler's own vectors of the plain loops.
#include "distance_impl.h"
#include "tables.h"

namespace oneglance {
const DistanceKernels distance_kernels_avx2 = ONEGLANCE_DISTANCE_TABLE;
}
