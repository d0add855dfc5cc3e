#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace oneglance {

/// A user's mistake: becomes oneglance.errors.InvalidInput in Python.
struct InvalidInput : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Rows with NaN or infinity among those that were to be used. Rows ascend; at most 8 are kept.
struct NonFiniteRows : std::runtime_error {
  NonFiniteRows(std::int64_t n_bad, std::vector<std::int64_t> first_rows)
      : std::runtime_error("rows with NaN or infinity"), count(n_bad), rows(std::move(first_rows)) {}
  std::int64_t count;
  std::vector<std::int64_t> rows;
};

/// The same in the queries of a search, where rows and queries are two matrices.
struct NonFiniteQueries : NonFiniteRows {
  using NonFiniteRows::NonFiniteRows;
};

/// Rows of zeros where a direction was needed. Rows ascend; at most 8 are kept.
struct ZeroRows : std::runtime_error {
  ZeroRows(std::int64_t n_zero, std::vector<std::int64_t> first_rows)
      : std::runtime_error("rows of zeros"), count(n_zero), rows(std::move(first_rows)) {}
  std::int64_t count;
  std::vector<std::int64_t> rows;
};

struct ZeroQueries : ZeroRows {
  using ZeroRows::ZeroRows;
};

/// The caller asked to stop (Ctrl-C). The binding turns it into the pending Python exception.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

inline void require(bool ok, const std::string& message) {
  if (!ok) throw InvalidInput(message);
}

}  // namespace oneglance
