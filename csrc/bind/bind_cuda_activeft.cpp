#include "../cuda/activeft.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {
namespace {

void step_binding(std::int64_t n_theta, std::int64_t n_dims, std::int64_t n_fixed, Address pull, Address weights,
                  double row_factor, double theta_factor, Address out, Address total, Address out2, Address most2,
                  double rate, double correct1, double correct2, Address gradient, Address m, Address s, Address v,
                  Address theta, Address norm, Address narrow, Address stream) {
  cuda::ActiveFtStep step;
  step.n_theta = n_theta;
  step.n_dims = n_dims;
  step.n_fixed = n_fixed;
  step.pull = at<const double>(pull);
  step.weights = at<const double>(weights);
  step.row_factor = row_factor;
  step.theta_factor = theta_factor;
  step.out = at<const float>(out);
  step.total = at<const double>(total);
  step.out2 = at<const float>(out2);
  step.most2 = at<const double>(most2);
  step.rate = rate;
  step.correct1 = correct1;
  step.correct2 = correct2;
  step.gradient = at<double>(gradient);
  step.m = at<double>(m);
  step.s = at<double>(s);
  step.v = at<double>(v);
  step.theta = at<double>(theta);
  step.norm = at<double>(norm);
  step.narrow = at<float>(narrow);
  cuda::activeft_step(step, stream);
}

}  // namespace

void bind_cuda_activeft(py::module_& module) {
  module.def(
      "softmax_tile",
      [](Address products, std::int64_t n_queries, std::int64_t n_keys, float scale, Address bias, std::int64_t self,
         bool with_self, Address most, Address total, Address out, std::int64_t n_dims, Address stream) {
        cuda::softmax_tile(at<float>(products), n_queries, n_keys, scale, at<const double>(bias), self, with_self,
                           at<double>(most), at<double>(total), at<float>(out), n_dims, stream);
      },
      py::arg("products"), py::arg("n_queries"), py::arg("n_keys"), py::arg("scale"), py::arg("bias"), py::arg("self"),
      py::arg("with_self"), py::arg("most"), py::arg("total"), py::arg("out"), py::arg("n_dims"), py::arg("stream"),
      WithoutGil(), "Running softmax of a tile of products.");
  module.def(
      "softmax_log_sum",
      [](Address most, Address total, std::int64_t n, Address log_sum, Address stream) {
        cuda::softmax_log_sum(at<const double>(most), at<const double>(total), n, at<double>(log_sum), stream);
      },
      py::arg("most"), py::arg("total"), py::arg("n"), py::arg("log_sum"), py::arg("stream"), WithoutGil(),
      "most + log(total).");
  module.def(
      "activeft_rows",
      [](Address labels, Address dist2, std::int64_t n, Address log_sum, double tau, double log_balance, Address weight,
         Address partial, Address loss, Address stream) {
        cuda::activeft_rows(at<const std::int64_t>(labels), at<const double>(dist2), n, at<const double>(log_sum), tau,
                            log_balance, at<double>(weight), at<double>(partial), at<double>(loss), stream);
      },
      py::arg("labels"), py::arg("dist2"), py::arg("n"), py::arg("log_sum"), py::arg("tau"), py::arg("log_balance"),
      py::arg("weight"), py::arg("partial"), py::arg("loss"), py::arg("stream"), WithoutGil(),
      "Weight of every row, and the mean loss.");
  module.def(
      "activeft_pull",
      [](Address rows, int type, std::int64_t n_rows, std::int64_t n_dims, std::int64_t row_stride, Address scale,
         Address labels, Address order, Address weight, std::int64_t n_theta, Address pull, Address weights,
         Address stream) {
        cuda::activeft_pull(device_rows(rows, type, n_rows, n_dims, row_stride), at<const double>(scale),
                            at<const std::int64_t>(labels), at<const std::int64_t>(order), at<const double>(weight),
                            n_theta, at<double>(pull), at<double>(weights), stream);
      },
      py::arg("rows"), py::arg("type"), py::arg("n_rows"), py::arg("n_dims"), py::arg("row_stride"), py::arg("scale"),
      py::arg("labels"), py::arg("order"), py::arg("weight"), py::arg("n_theta"), py::arg("pull"), py::arg("weights"),
      py::arg("stream"), WithoutGil(), "Weighted sums of the rows of every theta.");
  module.def("activeft_step", &step_binding, py::kw_only(), py::arg("n_theta"), py::arg("n_dims"), py::arg("n_fixed"),
             py::arg("pull"), py::arg("weights"), py::arg("row_factor"), py::arg("theta_factor"), py::arg("out"),
             py::arg("total"), py::arg("out2"), py::arg("most2"), py::arg("rate"), py::arg("correct1"),
             py::arg("correct2"), py::arg("gradient"), py::arg("m"), py::arg("s"), py::arg("v"), py::arg("theta"),
             py::arg("norm"), py::arg("narrow"), py::arg("stream"), WithoutGil(),
             "The gradient, and Adam's step: csrc/cuda/activeft.h.");
}

}  // namespace oneglance
