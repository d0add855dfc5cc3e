#pragma once
#include <cmath>

namespace oneglance {

/// Money that is left, to twice the digits: many small prices must not add up to more than there was.
class Purse {
 public:
  explicit Purse(double money) : money_(money) {}
  bool pays(double cost) const { return cost - money_ <= rest_; }
  void spend(double cost) {
    if (std::isinf(money_)) return;
    const double left = money_ - cost, taken = left - money_;
    rest_ += (money_ - (left - taken)) - (cost + taken);
    money_ = left;
  }

 private:
  double money_, rest_ = 0.0;
};

}  // namespace oneglance
