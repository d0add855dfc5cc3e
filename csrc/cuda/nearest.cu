#include "nearest.h"

#include <cmath>

#include "cover_rows.h"
#include "row_types.h"

namespace oneglance::cuda {
namespace {

using simt::lane;

constexpr double kWideError = 1e-14;    // of float64 rows before the shift is taken off
constexpr double kTiny = 1e-30;         // products of points near 1 may vanish below it
constexpr double kLargestNorm2 = 1e34;  // products of larger points could leave float32

SIMT_DEVICE float round_up(double value) {
  const auto near = static_cast<float>(value);
  return static_cast<double>(near) < value ? nextafterf(near, INFINITY) : near;
}
SIMT_DEVICE float round_down(double value) { return -round_up(-value); }

/// A number of any row type; the type is the same for the whole launch.
SIMT_DEVICE double number_at(const DeviceRows& rows, std::int64_t place) {
  switch (rows.type) {
    case RowType::float16:
      return simt::to_double(static_cast<const simt::Half*>(rows.data)[place]);
    case RowType::float32:
      return static_cast<const float*>(rows.data)[place];
    case RowType::float64:
      return static_cast<const double*>(rows.data)[place];
    default:
      return simt::to_double(static_cast<const simt::BFloat16*>(rows.data)[place]);
  }
}

/// One warp per row.
template <typename T>
SIMT_KERNEL prepare_kernel(const T* rows, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride,
                           const double* scale, const std::uint8_t* mask, Frame frame, PointLayout layout, Points out) {
  const std::int64_t width = layout.parts * n_dims;
  for (std::int64_t i = simt::first_of_warp(); i < n_rows; i += simt::warp_step()) {
    const T* row = rows + i * row_stride;
    float* x = out.x + i * width;
    const bool used = mask == nullptr || mask[i] != 0;
    const double factor = (scale == nullptr ? 1.0 : scale[i]) * frame.power;
    double sum = 0.0;
    for (std::int64_t j = lane(); used && j < n_dims; j += 32) {
      const auto value = static_cast<float>(simt::to_double(row[j]) * factor - static_cast<double>(frame.shift[j]));
      sum += static_cast<double>(value) * static_cast<double>(value);
      const float high = layout.tf32 ? simt::round_to_tf32(value) : value, low = simt::round_to_tf32(value - high);
      for (int part = 0; part < layout.parts; ++part) {
        x[part * n_dims + j] = (layout.low >> part & 1u) != 0 ? low : high;
      }
    }
    sum = simt::warp_sum(sum);
    const bool fits = sum <= kLargestNorm2;
    if (!used || !fits) {
      simt::sync_warp();  // another lane may have written the number that is there
      for (std::int64_t j = lane(); j < width; j += 32) x[j] = 0.0f;
    }
    if (lane() != 0) continue;
    const double norm2 = fits ? sum : 0.0, norm = sqrt(norm2), padded = norm + 2.0 * frame.unit;
    // Scaled and shifted in float64, so that float32 rounds the difference alone.
    const double slack = fits ? frame.row_error * sum + kWideError * padded * padded + kTiny : INFINITY;
    out.norm2[i] = norm2;
    out.slack[i] = slack;
    out.base[i] = used ? round_down(norm2 - slack) : INFINITY;
    out.slope[i] = round_up(2.0 * frame.dot_error * norm);
  }
}

/// A sorted list of 32 * kSlots numbers, ascending from lane to lane.
template <int kSlots>
struct Sorted {
  float value[kSlots];

  SIMT_DEVICE float at(int place) const {
    float mine = value[0];
    for (int s = 1; s < kSlots; ++s) mine = place % kSlots == s ? value[s] : mine;
    return simt::shuffle(mine, place / kSlots);
  }
  /// Places of this lane that stay when `taken` comes in; the value that falls out of the end is returned.
  SIMT_DEVICE float insert(float taken) {
    const float before = simt::shuffle(value[kSlots - 1], lane() - 1), last = at(32 * kSlots - 1);
    for (int s = kSlots - 1; s >= 0; --s) {
      const float left = s > 0 ? value[s - 1] : before;
      const bool first = s == 0 && lane() == 0;
      if (value[s] > taken) value[s] = first || left <= taken ? taken : left;
    }
    return last;
  }
};

/// The same with a row beside each number.
template <int kSlots>
struct SortedRows {
  Sorted<kSlots> lower;
  std::int64_t row[kSlots];

  SIMT_DEVICE float insert(float taken, std::int64_t taken_row) {
    const float before = simt::shuffle(lower.value[kSlots - 1], lane() - 1);
    const std::int64_t row_before = simt::shuffle(row[kSlots - 1], lane() - 1);
    const float last = lower.at(32 * kSlots - 1);
    for (int s = kSlots - 1; s >= 0; --s) {
      const float left = s > 0 ? lower.value[s - 1] : before;
      const std::int64_t left_row = s > 0 ? row[s - 1] : row_before;
      if (!(lower.value[s] > taken)) continue;
      const bool here = (s == 0 && lane() == 0) || left <= taken;
      row[s] = here ? taken_row : left_row;
      lower.value[s] = here ? taken : left;
    }
    return last;
  }
};

/// One warp per query: the tile's row is read by neighbouring lanes; a number that passes is rare and is taken by all.
template <int kSlots>
SIMT_KERNEL scan_kernel(const float* products, std::int64_t n_queries, std::int64_t n_rows, std::int64_t first_row,
                        Points queries, Points rows, const std::int64_t* query_rows, std::int64_t n_nearest,
                        Candidates known) {
  constexpr int kPlaces = 32 * kSlots;
  for (std::int64_t i = simt::first_of_warp(); i < n_queries; i += simt::warp_step()) {
    const std::int64_t state = i * kPlaces + lane() * kSlots;
    SortedRows<kSlots> found;
    Sorted<kSlots> upper;
    for (int s = 0; s < kSlots; ++s) {
      found.lower.value[s] = known.lower[state + s];
      found.row[s] = known.row[state + s];
      upper.value[s] = known.upper[state + s];
    }
    float dropped = known.dropped[i];
    float most = upper.at(static_cast<int>(n_nearest) - 1);
    const float norm = round_up(sqrt(queries.norm2[i]));
    const double slack = queries.slack[i];
    const std::int64_t self = query_rows == nullptr ? -1 : query_rows[i] - first_row;
    const float* product = products + i * n_rows;
    for (std::int64_t start = 0; start < n_rows; start += 32) {
      const std::int64_t j = start + lane();
      float value = INFINITY;
      if (j < n_rows && j != self) value = fmaf(-norm, rows.slope[j], fmaf(-2.0f, product[j], rows.base[j]));
      std::uint32_t passing = simt::ballot(value <= most && value < INFINITY);
      while (passing != 0) {
        const int from = simt::lowest_bit(passing);
        passing &= passing - 1;
        const float lower = simt::shuffle(value, from);
        if (!(lower <= most)) continue;  // the same for all lanes
        const std::int64_t place = start + from;
        const double error =
            static_cast<double>(norm) * static_cast<double>(rows.slope[place]) + slack + rows.slack[place];
        const float above = round_up(static_cast<double>(lower) + 2.0 * error);
        const float out = found.insert(lower, first_row + place);
        // The list is full when its last place was taken: then either the last or the new one had no place.
        const float without = out > lower ? out : lower;
        if (out < INFINITY) dropped = without < dropped ? without : dropped;
        if (above < INFINITY) upper.insert(above);
        most = upper.at(static_cast<int>(n_nearest) - 1);
      }
    }
    for (int s = 0; s < kSlots; ++s) {
      known.lower[state + s] = found.lower.value[s];
      known.row[state + s] = found.row[s];
      known.upper[state + s] = upper.value[s];
    }
    if (lane() == 0) known.dropped[i] = dropped;
  }
}

/// dist2 of one query and one row by half a warp, the same in its lanes; both halves must come here together.
SIMT_DEVICE double pair_dist2(const DeviceRows& queries, std::int64_t query, double query_scale, const DeviceRows& rows,
                              std::int64_t row, double row_scale) {
  double sum = 0.0;
  for (std::int64_t j = lane() % kHalf; j < rows.n_dims; j += kHalf) {
    const double x = simt::mul_rn(number_at(queries, query * queries.row_stride + j), query_scale);
    const double y = simt::mul_rn(number_at(rows, row * rows.row_stride + j), row_scale);
    sum = add_square(sum, simt::sub_rn(x, y));
  }
  return half_warp_sum(sum);
}

SIMT_DEVICE double scale_of(const double* scale, std::int64_t row) { return scale == nullptr ? 1.0 : scale[row]; }

/// One warp per query: distances of two candidates at a time into shared memory, then each finds its rank.
SIMT_KERNEL decide_kernel(DeviceRows queries, const double* query_scale, DeviceRows rows, const double* row_scale,
                          Points points, double power2, std::int64_t n_nearest, Candidates known, std::int64_t* indices,
                          double* dist2, std::uint8_t* crowded) {
  const int n_places = 32 * known.slots, n_warps = simt::block_size() / 32;
  auto* at = simt::dynamic_shared<double>() + static_cast<std::int64_t>(simt::warp()) * n_places;
  auto* row =
      reinterpret_cast<std::int64_t*>(simt::dynamic_shared<double>() + static_cast<std::int64_t>(n_warps) * n_places) +
      static_cast<std::int64_t>(simt::warp()) * n_places;
  for (std::int64_t i = simt::first_of_warp(); i < queries.n_rows; i += simt::warp_step()) {
    const float* lower = known.lower + i * n_places;
    const std::int64_t* candidate = known.row + i * n_places;
    const float most = known.upper[i * n_places + n_nearest - 1];
    for (int c = 0; c < n_places; c += 2) {
      const int mine = c + lane() / kHalf;
      const bool there = candidate[mine] >= 0 && lower[mine] <= most;
      // Ascending: when the first of the pair is out, all that follow are.
      if (!(candidate[c] >= 0 && lower[c] <= most)) {
        if (lane() % kHalf == 0) {
          at[mine] = INFINITY;
          row[mine] = -1;
        }
        continue;
      }
      const std::int64_t from = there ? candidate[mine] : candidate[c];
      const double value = pair_dist2(queries, i, scale_of(query_scale, i), rows, from, scale_of(row_scale, from));
      if (lane() % kHalf == 0) {
        at[mine] = there ? value : INFINITY;
        row[mine] = there ? from : -1;
      }
    }
    simt::sync_warp();
    double last = INFINITY;
    for (int c = lane(); c < n_places; c += 32) {
      if (row[c] < 0) continue;
      std::int64_t rank = 0;
      for (int other = 0; other < n_places; ++other) {
        const bool nearer = at[other] < at[c] || (at[other] == at[c] && row[other] < row[c]);
        rank += row[other] >= 0 && nearer ? 1 : 0;
      }
      if (rank >= n_nearest) continue;
      indices[i * n_nearest + rank] = row[c];
      dist2[i * n_nearest + rank] = at[c];
      if (rank == n_nearest - 1) last = at[c];
    }
    last = simt::warp_min(last);
    const float ceiling = round_up(last * power2 * (1.0 + 1e-12) - points.norm2[i] + points.slack[i]);
    if (lane() == 0) crowded[i] = known.dropped[i] < INFINITY && !(known.dropped[i] > ceiling) ? 1 : 0;
    simt::sync_warp();
  }
}

/// Half a warp per pair of a chosen query and a row.
SIMT_KERNEL exact_kernel(DeviceRows queries, const double* query_scale, const std::int64_t* chosen,
                         std::int64_t n_chosen, DeviceRows rows, const double* row_scale, const std::uint8_t* mask,
                         const std::int64_t* query_rows, double* dist2) {
  const std::int64_t n_pairs = n_chosen * rows.n_rows;
  for (std::int64_t two = simt::first_of_warp(); 2 * two < n_pairs; two += simt::warp_step()) {
    const std::int64_t mine = 2 * two + lane() / kHalf, pair = mine < n_pairs ? mine : n_pairs - 1;
    const std::int64_t query = chosen[pair / rows.n_rows], row = pair % rows.n_rows;
    const double value = pair_dist2(queries, query, scale_of(query_scale, query), rows, row, scale_of(row_scale, row));
    if (lane() % kHalf != 0 || mine >= n_pairs) continue;
    const bool answer = (mask == nullptr || mask[row] != 0) && !(query_rows != nullptr && query_rows[query] == row);
    dist2[pair] = answer ? value : INFINITY;
  }
}

}  // namespace

void prepare_points(const DeviceRows& rows, const double* scale, const std::uint8_t* mask, const Frame& frame,
                    PointLayout layout, const Points& out, std::uintptr_t stream) {
  with_row_type(rows.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    simt::launch("prepare_points", prepare_kernel<T>, simt::warp_per_item(rows.n_rows), stream,
                 static_cast<const T*>(rows.data), rows.n_rows, rows.n_dims, rows.row_stride, scale, mask, frame,
                 layout, out);
  });
}

void scan_tile(const float* products, std::int64_t n_queries, std::int64_t n_rows, std::int64_t first_row,
               const Points& queries, const Points& rows, const std::int64_t* query_rows, std::int64_t n_nearest,
               const Candidates& candidates, std::uintptr_t stream) {
  const auto kernel = candidates.slots == 1 ? scan_kernel<1> : candidates.slots == 4 ? scan_kernel<4> : scan_kernel<16>;
  simt::launch("scan_tile", kernel, simt::warp_per_item(n_queries), stream, products, n_queries, n_rows, first_row,
               queries, rows, query_rows, n_nearest, candidates);
}

void decide_nearest(const DeviceRows& queries, const double* query_scale, const DeviceRows& rows,
                    const double* row_scale, const Points& points, double power2, std::int64_t n_nearest,
                    const Candidates& candidates, std::int64_t* indices, double* dist2, std::uint8_t* crowded,
                    std::uintptr_t stream) {
  constexpr int kFewThreads = 128;
  simt::Geometry geometry = simt::warp_per_item(queries.n_rows, kFewThreads);
  geometry.shared_bytes = static_cast<std::size_t>(kFewThreads / 32 * 32 * candidates.slots) * 16;
  simt::launch("decide_nearest", decide_kernel, geometry, stream, queries, query_scale, rows, row_scale, points, power2,
               n_nearest, candidates, indices, dist2, crowded);
}

void exact_distances(const DeviceRows& queries, const double* query_scale, const std::int64_t* chosen,
                     std::int64_t n_chosen, const DeviceRows& rows, const double* row_scale, const std::uint8_t* mask,
                     const std::int64_t* query_rows, double* dist2, std::uintptr_t stream) {
  simt::launch("exact_distances", exact_kernel, simt::warp_per_item((n_chosen * rows.n_rows + 1) / 2), stream, queries,
               query_scale, chosen, n_chosen, rows, row_scale, mask, query_rows, dist2);
}

}  // namespace oneglance::cuda
