#pragma once
#include <string>
#include <vector>

namespace oneglance {

enum class Isa { baseline, avx2, avx512 };

const char* isa_name(Isa isa);
/// Instruction sets that this build has code for, lowest first.
std::vector<Isa> compiled_isas();
/// Those that this processor can run as well.
std::vector<Isa> runnable_isas();
/// Chosen once per process: ONEGLANCE_ISA if set, else the best runnable.
/// Throws InvalidInput for a name that is unknown, not compiled or not runnable here.
Isa active_isa();

}  // namespace oneglance
