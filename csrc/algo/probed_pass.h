#pragma once
#include "oneglance/dense.h"
#include "oneglance/panel_pass.h"

namespace oneglance {

/// One float32 reading of the rows with a factor `inverse` (r, r) upper U that should make P = sum_i b_i b_i' the
/// identity, b_i = a_i U: tau_i = |b_i|^2, and evidence about P at 2 % of the cost of forming it.
///
///   tau      (n,) out
///   returns  10 sqrt(2/pi) times the largest |(P - I) v| over 10 Gaussian vectors v, the same ones every time. It is
///            below |P - I|_2 with probability 1e-10 (Halko, Martinsson and Tropp 2011, lemma 4.1) and above it by
///            about 4 sqrt(r); infinite where P is not finite.
/// Cost n r^2 flops. The bytes do not depend on threads or shards. Throws NonFiniteRows, Interrupted.
double probed_pass(const RowSource& source, const dense::Square& inverse, double* tau);

}  // namespace oneglance
