#pragma once
#include "bilaf.h"
#include "cover_rows.h"

// What the kernels of bilaf.h share: the members of a class.
namespace oneglance::cuda {

constexpr int kHalves = simt::kThreads / kHalf;

/// One class; positions are those among its members.
struct Class {
  std::int64_t number, start, n;
  const std::int64_t* members;
};

SIMT_DEVICE Class class_at(const DeviceClasses& classes, std::int64_t place) {
  const std::int64_t number = classes.by_size[place], start = classes.offsets[number];
  return {number, start, classes.offsets[number + 1] - start, classes.members + start};
}

SIMT_DEVICE CoverArrays rows_of(const DeviceClasses& classes) {
  CoverArrays a;
  a.rows = classes.rows;
  a.scale = classes.scale;
  return a;
}

SIMT_DEVICE std::int64_t position_of(const Class& mine, std::int64_t row) {
  std::int64_t low = 0, high = mine.n - 1;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (mine.members[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace oneglance::cuda
