#include "oneglance/isa.h"

#include <cstdlib>

#include "../kernels/tables.h"
#include "oneglance/check.h"

namespace oneglance {
namespace {

bool runs_here(Isa isa) {
#if defined(ONEGLANCE_X86_KERNELS)
  if (isa == Isa::avx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }
  if (isa == Isa::avx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return isa == Isa::baseline;
}

std::string join(const std::vector<Isa>& isas) {
  std::string names;
  for (const Isa isa : isas) names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  return names;
}

Isa choose() {
  const char* forced = std::getenv("ONEGLANCE_ISA");
  const std::vector<Isa> runnable = runnable_isas();
  if (forced == nullptr || *forced == '\0') return runnable.back();
  for (const Isa isa : runnable) {
    if (forced == std::string(isa_name(isa))) return isa;
  }
  throw InvalidInput("ONEGLANCE_ISA must be one of " + join(runnable) + " on this machine (compiled: " +
                     join(compiled_isas()) + "), got '" + forced + "'. Unset it to take the best.");
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
  return "baseline";
}

std::vector<Isa> compiled_isas() {
#if defined(ONEGLANCE_X86_KERNELS)
  return {Isa::baseline, Isa::avx2, Isa::avx512};
#else
  return {Isa::baseline};
#endif
}

std::vector<Isa> runnable_isas() {
  std::vector<Isa> runnable;
  for (const Isa isa : compiled_isas()) {
    if (runs_here(isa)) runnable.push_back(isa);
  }
  return runnable;
}

Isa active_isa() {
  static const Isa chosen = choose();
  return chosen;
}

const PanelKernels& panel_kernels() {
  switch (active_isa()) {
#if defined(ONEGLANCE_X86_KERNELS)
    case Isa::avx512:
      return panel_kernels_avx512;
    case Isa::avx2:
      return panel_kernels_avx2;
#endif
    default:
      return panel_kernels_baseline;
  }
}

const DistanceKernels& distance_kernels() {
  switch (active_isa()) {
#if defined(ONEGLANCE_X86_KERNELS)
    case Isa::avx512:
      return distance_kernels_avx512;
    case Isa::avx2:
      return distance_kernels_avx2;
#endif
    default:
      return distance_kernels_baseline;
  }
}

const MaskKernels& mask_kernels() {
  switch (active_isa()) {
#if defined(ONEGLANCE_X86_KERNELS)
    case Isa::avx512:
      return mask_kernels_avx512;
    case Isa::avx2:
      return mask_kernels_avx2;
#endif
    default:
      return mask_kernels_baseline;
  }
}

const PictureKernels& picture_kernels() {
  switch (active_isa()) {
#if defined(ONEGLANCE_X86_KERNELS)
    case Isa::avx512:
      return picture_kernels_avx512;
    case Isa::avx2:
      return picture_kernels_avx2;
#endif
    default:
      return picture_kernels_baseline;
  }
}

}  // namespace oneglance
