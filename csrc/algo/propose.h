#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "bad_rows.h"
#include "oneglance/metric_rows.h"

/// float32 proposes, float64 decides.
///
/// Rows are brought into a frame (scaled by a power of two, a common shift taken off: both leave differences
/// alone) and rounded to float32; a row whose norm there is r carries a slack A. With q, B the same for a centre
/// and s the float32 product of the two,
///     | dist2 - (r^2 + q^2 - 2 s) | <= E = 2 g r q + A + B,   g = d u / (1 - d u),  u = 2^-24,
/// where g bounds a float32 dot product of d terms in any order of summation, and A = 16 u (r + 2 b)^2 (b: norm of
/// a cosine row, 0 else) bounds the rounding of the row, of the norms and of the sums below, twice over. So
///     lower = (q^2 - B) - 2 s - (2 g r) q  + (r^2 - A)  <=  dist2  <=  lower + 2 E,
/// of which r^2 - A is left out while candidates of one row are compared. Every candidate whose `lower` does not
/// exceed the least `upper` is measured in float64: the answer is that of float64, whatever the threads, the
/// panels, the instruction set or the BLAS.
namespace oneglance {

constexpr double kRoundoff = 1.0 / 16777216.0;  // u
constexpr double kLargestNorm = 1e17;           // products of larger rows could leave float32

/// g for rows of so many numbers.
inline double dot_error_of(std::int64_t n_dims) {
  const double rounding = static_cast<double>(n_dims) * kRoundoff;
  return 1.01 * rounding / (1.0 - rounding);
}

/// The least float32 that is not below.
inline float round_up(double value) {
  const auto near = static_cast<float>(value);
  return static_cast<double>(near) < value ? std::nextafterf(near, std::numeric_limits<float>::infinity()) : near;
}

struct Frame {
  /// From about a thousand evenly spaced rows: the shift is their mean, the power of two their spread.
  explicit Frame(const MetricRows& rows);

  double power;              // rows are multiplied by it
  double power2;             // its square: the frame's dist2 per dist2
  std::vector<float> shift;  // (d,) taken off after scaling
  double unit;               // norm of a cosine row in the frame, 0 for sqeuclidean
  double dot_error;          // g
};

/// Rows in a frame. A row too large for float32 products has x = 0 and infinite slack: always a candidate.
struct Points {
  std::vector<float> x;       // (n, d)
  std::vector<double> norm2;  // r^2
  std::vector<float> norm;    // r, rounded up
  std::vector<double> slack;  // A
  std::int64_t size() const { return static_cast<std::int64_t>(norm.size()); }
};

/// Rows that other rows are compared with, with what `lower` needs of them.
class Centers {
 public:
  explicit Centers(std::int64_t n_dims) : n_dims_(n_dims) {}

  void clear() { resize(0); }
  void resize(std::int64_t n);
  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }
  /// Brings the rows into places first .. first + n - 1; distinct places may be filled at once by several threads.
  void fill(const MetricRows& from, const Frame& frame, const std::int64_t* from_rows, std::int64_t n,
            std::int64_t first, BadRows& bad);

  std::vector<std::int64_t> rows;  // row of each centre in its matrix
  std::vector<float> x;            // (n, d)
  std::vector<float> base;         // q^2 - B, rounded down
  std::vector<float> slope;        // 2 g q, rounded up
  std::vector<float> slack;        // B, rounded up

 private:
  std::int64_t n_dims_;
};

/// Rows `rows[0..n)` in the frame; resizes `out` to n. Not finite: counted as bad.
void load_points(const MetricRows& from, const Frame& frame, const std::int64_t* rows, std::int64_t n, Points& out,
                 BadRows& bad);

/// The nearest few of each row of one panel. Scratch memory of one thread; reused from panel to panel.
class NearestSearch {
 public:
  /// Answers are rows of `data`; skip_self: row i of the queries is not answered by row i.
  NearestSearch(const Frame& frame, const MetricRows& queries, const MetricRows& data, std::int64_t n_nearest,
                bool skip_self);

  static constexpr std::int64_t kPanelRows = 512;
  static constexpr std::int64_t kTileCenters = 512;

  /// Takes rows[0..n) of the queries, n <= kPanelRows, with nothing found yet.
  void open(const std::int64_t* rows, std::int64_t n, BadRows& bad);
  /// What is known already about row i of the panel: ascending (dist2, row); +inf and -1 where nothing.
  double* dist2(std::int64_t i) { return best_dist2_.data() + i * n_nearest_; }
  std::int64_t* nearest(std::int64_t i) { return best_row_.data() + i * n_nearest_; }
  /// After changing what is known.
  void start();
  /// Compares the panel with centres first .. last-1.
  void scan(const Centers& centers, std::int64_t first, std::int64_t last);
  /// Decides all rows.
  void finish();
  /// Takes over what another search found for the same panel; both are finished.
  void merge(NearestSearch& other);
  /// Decides only rows with several candidates: label[i] is the nearest centre's row (n_nearest = 1), and
  /// other2[i] a lower bound on dist2 to every other one.
  void finish_labels(std::int64_t* label, double* other2);

 private:
  struct Candidate {
    float lower, upper;
    std::int64_t row;
  };

  float ceiling(std::int64_t i) const;
  float few_lowest(const float* product, const float* base, const float* slope, float norm, std::int64_t n) const;
  void prune(std::int64_t i);
  void decide(std::int64_t i);
  void insert(std::int64_t i, double dist2, std::int64_t row);

  const Frame& frame_;
  const MetricRows& queries_;
  const MetricRows& data_;
  std::int64_t n_nearest_;
  bool skip_self_;
  std::vector<std::int64_t> rows_;
  Points points_;
  std::vector<float> most_;             // per row: a candidate's lower must not exceed it
  std::vector<float> lowest_, second_;  // per row: the two smallest lowers seen
  std::vector<std::vector<Candidate>> candidates_;
  std::vector<double> best_dist2_;
  std::vector<std::int64_t> best_row_;
  std::vector<float> product_, lower_, narrow_;
  std::vector<std::int32_t> positions_;
  std::vector<double> wide_;
};

}  // namespace oneglance
