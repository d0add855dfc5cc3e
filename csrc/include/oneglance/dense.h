#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// Small dense linear algebra on (n, n) row-major float64 (float32 where named). The one place
/// that meets BLAS/LAPACK: a private OpenBLAS, always single-threaded here; parallel versions cut
/// the rows themselves, so results do not depend on the number of threads.
namespace oneglance::dense {

using Square = std::vector<double>;  // (n, n) row-major

/// y (m, n) := y u, u (n, n) upper triangular; ldy, ldu in elements.
void times_upper(std::int64_t m, std::int64_t n, const float* u, float* y, std::int64_t ldy);
void times_upper(std::int64_t m, std::int64_t n, const double* u, double* y, std::int64_t ldy);
/// upper triangle of g (n, n) := beta g + y' y
void add_gram(std::int64_t m, std::int64_t n, const float* y, std::int64_t ldy, float beta, float* g);
void add_gram(std::int64_t m, std::int64_t n, const double* y, std::int64_t ldy, double beta, double* g);
/// c (m, n) := alpha a b' for a (m, k), b (n, k), all contiguous
void times_transposed(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, const float* b,
                      float* c);
/// c (m, n) := c + a b for a (m, k), b (k, n), all contiguous
void add_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c);
/// c (m, n) := a b for a (m, k), b (k, n), all contiguous
void product(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b, double* c);
/// c (m, n) := c + a' b for a (k, m), b (k, n), all contiguous
void add_transposed_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c);
void add_transposed_product(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
                            double* c);

/// a := R upper with a = R' R from the upper triangle; false when not positive definite. Lower part zeroed.
bool cholesky_upper(Square& a, std::int64_t n);
/// Diagonal-pivoted Cholesky of the upper triangle of a; stops at pivots <= tol. Returns the rank
/// reached and the order of the columns (all n of them). `a` is destroyed.
std::int64_t pivoted_order(Square& a, std::int64_t n, double tol, std::vector<std::int32_t>& order);
/// R of a = QR with a positive diagonal, for (n, n) a of full rank. Keeps the digits that a'a would lose.
Square qr_upper(const Square& a, std::int64_t n);
/// R^-1 of an upper triangular R with non-zero diagonal.
Square upper_inverse(Square r, std::int64_t n);
Square transpose(const Square& a, std::int64_t n);
/// a u for any (n, n) a and upper u. Rows are shared among the threads.
Square multiply_upper(Square a, const Square& u, std::int64_t n);
/// r' s r for symmetric s (both triangles filled) and upper r; both triangles of the result filled.
Square congruence(const Square& s, const Square& r, std::int64_t n);
/// Smallest and largest eigenvalue of a symmetric matrix (upper triangle read).
void eigen_range(Square a, std::int64_t n, double& lowest, double& highest);
/// Lower bound on the 2-norm of a symmetric matrix (both triangles filled) by power steps on its square.
double norm2_lower_bound(const Square& a, std::int64_t n, int n_steps);
void mirror_upper(Square& a, std::int64_t n);

std::string blas_description();

}  // namespace oneglance::dense
