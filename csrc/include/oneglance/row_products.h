#pragma once
#include <cstdint>

#include "oneglance/panel_pass.h"

namespace oneglance {

/// What a reading of the rows does with each row a_i, in float64 whatever the rows are stored in.
///   width     c, columns of everything below
///   coef      (d, c): products_i = a_i' coef. Null: no products
///   products  (n, c) out. May be null
///   values    (n, c): what the rows are added up with, times the products where there are any. Null: 1
///   sums      (d, c) out: sum_i a_i (values_i * products_i)'. May be null
/// Left-out rows have products 0 and add nothing.
struct ProductSpec {
  std::int64_t width = 1;
  const double* coef = nullptr;
  double* products = nullptr;
  const double* values = nullptr;
  double* sums = nullptr;
};

/// One reading of all rows: n d c multiply-adds for the products and as many for the sums. Uses the source's rows,
/// mask and stop only. Memory: at most 64 times (d, c), and a panel of 64 rows per thread. The bytes of the result
/// do not depend on threads or shards. Throws NonFiniteRows after the reading, Interrupted.
void row_products(const RowSource& source, const ProductSpec& spec);

/// gram (d, d), both triangles: sum_i s_i^2 a_i a_i' with s the source's row_scale. Products in float64.
/// Cost n d^2. Throws NonFiniteRows, Interrupted.
void weighted_gram(RowSource source, double* gram);

}  // namespace oneglance
