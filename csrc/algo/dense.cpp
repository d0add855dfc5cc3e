#include "oneglance/dense.h"

#include <algorithm>
#include <cmath>

#include "oneglance/check.h"
#include "oneglance/parallel.h"

// The symbols of the scipy-openblas32 library that are used, 32-bit integers. Declared here, and
// only here, because its headers rename everything by macros.
extern "C" {
void scipy_cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                       const float* b, int ldb, float beta, float* c, int ldc);
void scipy_cblas_strmm(int order, int side, int uplo, int trans, int diag, int m, int n, float alpha, const float* a,
                       int lda, float* b, int ldb);
void scipy_cblas_dtrmm(int order, int side, int uplo, int trans, int diag, int m, int n, double alpha, const double* a,
                       int lda, double* b, int ldb);
void scipy_cblas_ssyrk(int order, int uplo, int trans, int n, int k, float alpha, const float* a, int lda, float beta,
                       float* c, int ldc);
void scipy_cblas_dsyrk(int order, int uplo, int trans, int n, int k, double alpha, const double* a, int lda,
                       double beta, double* c, int ldc);
void scipy_cblas_dsymv(int order, int uplo, int n, double alpha, const double* a, int lda, const double* x, int incx,
                       double beta, double* y, int incy);
void scipy_cblas_dgemm(int order, int transa, int transb, int m, int n, int k, double alpha, const double* a, int lda,
                       const double* b, int ldb, double beta, double* c, int ldc);
void scipy_cblas_dgemv(int order, int trans, int m, int n, double alpha, const double* a, int lda, const double* x,
                       int incx, double beta, double* y, int incy);
void scipy_dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info, std::size_t);
void scipy_dpstrf_(const char* uplo, const int* n, double* a, const int* lda, int* piv, int* rank, const double* tol,
                   double* work, int* info, std::size_t);
void scipy_dtrtri_(const char* uplo, const char* diag, const int* n, double* a, const int* lda, int* info, std::size_t,
                   std::size_t);
void scipy_dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work, const int* lwork,
                   int* info);
void scipy_dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
                   const int* lwork, int* iwork, const int* liwork, int* info, std::size_t, std::size_t);
char* scipy_openblas_get_config();
char* scipy_openblas_get_corename();
void scipy_openblas_set_num_threads(int n_threads);
}

namespace oneglance::dense {
namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112, kUpper = 121, kNonUnit = 131, kRight = 142;

// Our threads own the panels; BLAS must never start threads of its own.
const bool blas_is_single_threaded = [] {
  scipy_openblas_set_num_threads(1);
  return true;
}();

int as_int(std::int64_t size) { return static_cast<int>(size); }

// Row-major upper is LAPACK's column-major lower.
constexpr const char* kLapackUplo = "L";

}  // namespace

void times_upper(std::int64_t m, std::int64_t n, const float* u, float* y, std::int64_t ldy) {
  scipy_cblas_strmm(kRowMajor, kRight, kUpper, kNoTrans, kNonUnit, as_int(m), as_int(n), 1.0f, u, as_int(n), y,
                    as_int(ldy));
}
void times_upper(std::int64_t m, std::int64_t n, const double* u, double* y, std::int64_t ldy) {
  scipy_cblas_dtrmm(kRowMajor, kRight, kUpper, kNoTrans, kNonUnit, as_int(m), as_int(n), 1.0, u, as_int(n), y,
                    as_int(ldy));
}
void add_gram(std::int64_t m, std::int64_t n, const float* y, std::int64_t ldy, float beta, float* g) {
  scipy_cblas_ssyrk(kRowMajor, kUpper, kTrans, as_int(n), as_int(m), 1.0f, y, as_int(ldy), beta, g, as_int(n));
}
void add_gram(std::int64_t m, std::int64_t n, const double* y, std::int64_t ldy, double beta, double* g) {
  scipy_cblas_dsyrk(kRowMajor, kUpper, kTrans, as_int(n), as_int(m), 1.0, y, as_int(ldy), beta, g, as_int(n));
}

void times_transposed(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, const float* b,
                      float* c) {
  scipy_cblas_sgemm(kRowMajor, kNoTrans, kTrans, as_int(m), as_int(n), as_int(k), alpha, a, as_int(k), b, as_int(k),
                    0.0f, c, as_int(n));
}

void add_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
  scipy_cblas_sgemm(kRowMajor, kNoTrans, kNoTrans, as_int(m), as_int(n), as_int(k), 1.0f, a, as_int(k), b, as_int(n),
                    1.0f, c, as_int(n));
}

void add_transposed_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
  scipy_cblas_sgemm(kRowMajor, kTrans, kNoTrans, as_int(m), as_int(n), as_int(k), 1.0f, a, as_int(m), b, as_int(n),
                    1.0f, c, as_int(n));
}

void product(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b, double* c) {
  if (n == 1) {
    scipy_cblas_dgemv(kRowMajor, kNoTrans, as_int(m), as_int(k), 1.0, a, as_int(k), b, 1, 0.0, c, 1);
    return;
  }
  scipy_cblas_dgemm(kRowMajor, kNoTrans, kNoTrans, as_int(m), as_int(n), as_int(k), 1.0, a, as_int(k), b, as_int(n),
                    0.0, c, as_int(n));
}

void add_transposed_product(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
                            double* c) {
  if (n == 1) {
    scipy_cblas_dgemv(kRowMajor, kTrans, as_int(k), as_int(m), 1.0, a, as_int(m), b, 1, 1.0, c, 1);
    return;
  }
  scipy_cblas_dgemm(kRowMajor, kTrans, kNoTrans, as_int(m), as_int(n), as_int(k), 1.0, a, as_int(m), b, as_int(n), 1.0,
                    c, as_int(n));
}

bool cholesky_upper(Square& a, std::int64_t n) {
  if (!std::all_of(a.begin(), a.end(), [](double value) { return std::isfinite(value); })) return false;
  const int size = as_int(n);
  int info = 0;
  scipy_dpotrf_(kLapackUplo, &size, a.data(), &size, &info, 1);
  for (std::int64_t i = 1; i < n; ++i) std::fill_n(a.begin() + i * n, i, 0.0);
  return info == 0;
}

std::int64_t pivoted_order(Square& a, std::int64_t n, double tol, std::vector<std::int32_t>& order) {
  const int size = as_int(n);
  int rank = 0;
  int info = 0;
  std::vector<double> work(2 * static_cast<std::size_t>(n));
  order.resize(static_cast<std::size_t>(n));
  scipy_dpstrf_(kLapackUplo, &size, a.data(), &size, order.data(), &rank, &tol, work.data(), &info, 1);
  for (std::int32_t& column : order) --column;  // LAPACK counts from 1
  return rank;
}

Square upper_inverse(Square r, std::int64_t n) {
  const int size = as_int(n);
  int info = 0;
  scipy_dtrtri_(kLapackUplo, "N", &size, r.data(), &size, &info, 1, 1);
  if (info != 0) throw std::runtime_error("a triangular factor is singular; this is a bug in oneglance");
  return r;
}

Square qr_upper(const Square& a, std::int64_t n) {
  const int size = as_int(n);
  const int lwork = 64 * size;
  int info = 0;
  std::vector<double> reflectors(static_cast<std::size_t>(n)), work(static_cast<std::size_t>(lwork));
  Square columns = transpose(a, n);  // LAPACK reads columns
  scipy_dgeqrf_(&size, &size, columns.data(), &size, reflectors.data(), work.data(), &lwork, &info);
  Square r = transpose(columns, n);
  for (std::int64_t i = 0; i < n; ++i) {
    std::fill_n(r.begin() + i * n, i, 0.0);
    if (r[i * n + i] < 0.0) {
      for (std::int64_t j = i; j < n; ++j) r[i * n + j] = -r[i * n + j];
    }
  }
  return r;
}

Square transpose(const Square& a, std::int64_t n) {
  Square t(a.size());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) t[j * n + i] = a[i * n + j];
  }
  return t;
}

Square multiply_upper(Square a, const Square& u, std::int64_t n) {
  constexpr std::int64_t kRows = 64;
  const double work = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  for_each_lane((n + kRows - 1) / kRows, worthwhile_threads(work), {}, [&](const Lane& lane) {
    const std::int64_t first = lane.index * kRows;
    times_upper(std::min(kRows, n - first), n, u.data(), a.data() + first * n, n);
  });
  return a;
}

Square congruence(const Square& s, const Square& r, std::int64_t n) {
  // (s r)' r = r' s r, as s is symmetric
  Square result = multiply_upper(transpose(multiply_upper(s, r, n), n), r, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i + 1; j < n; ++j) {
      result[i * n + j] = result[j * n + i] = 0.5 * (result[i * n + j] + result[j * n + i]);
    }
  }
  return result;
}

void eigen_range(Square a, std::int64_t n, double& lowest, double& highest) {
  const int size = as_int(n);
  const int lwork = 2 * size + 1 + 64 * size;  // room for blocked reduction
  const int liwork = 1;
  int info = 0;
  int iwork = 0;
  std::vector<double> values(static_cast<std::size_t>(n)), work(static_cast<std::size_t>(lwork));
  scipy_dsyevd_("N", kLapackUplo, &size, a.data(), &size, values.data(), work.data(), &lwork, &iwork, &liwork, &info, 1,
                1);
  if (info != 0) throw std::runtime_error("LAPACK dsyevd did not converge");
  lowest = values.front();
  highest = values.back();
}

double norm2_lower_bound(const Square& a, std::int64_t n, int n_steps) {
  std::vector<double> x(static_cast<std::size_t>(n)), y(static_cast<std::size_t>(n));
  // A fixed start with no zero entries and no obvious symmetry: fractional parts of the golden ratio.
  for (std::int64_t i = 0; i < n; ++i) x[i] = 0.5 + std::fmod(0.6180339887498949 * static_cast<double>(i + 1), 1.0);
  double growth = 0.0;
  for (int step = 0; step < n_steps; ++step) {
    double norm = 0.0;
    for (const double value : x) norm += value * value;
    norm = std::sqrt(norm);
    if (norm == 0.0) return growth;
    for (double& value : x) value /= norm;
    scipy_cblas_dsymv(kRowMajor, kUpper, as_int(n), 1.0, a.data(), as_int(n), x.data(), 1, 0.0, y.data(), 1);
    growth = 0.0;
    for (const double value : y) growth += value * value;
    growth = std::sqrt(growth);
    x.swap(y);
  }
  return growth;
}

void mirror_upper(Square& a, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i + 1; j < n; ++j) a[j * n + i] = a[i * n + j];
  }
}

std::string blas_description() {
  return std::string(scipy_openblas_get_config()) + " (kernels " + scipy_openblas_get_corename() + ")";
}

}  // namespace oneglance::dense
