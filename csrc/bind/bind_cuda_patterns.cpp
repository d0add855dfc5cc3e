#include "../cuda/patches.h"
#include "../cuda/small_kmeans.h"
#include "bind_cuda.h"

namespace py = pybind11;

namespace oneglance {
namespace {

void small_kmeans_binding(Address points, std::int64_t row_stride, std::int64_t n_dims, Address offsets, Address kept,
                          Address n_kept, std::int64_t width, std::int64_t n_sets, std::int64_t most, Address names,
                          Address first_out, std::int64_t n_clusters, std::uint64_t seed, int max_iter, double tol,
                          Address scratch, std::int64_t n_blocks, Address out, Address stream) {
  cuda::DeviceSets sets;
  sets.points = at<const float>(points);
  sets.row_stride = row_stride;
  sets.n_dims = n_dims;
  sets.offsets = at<const std::int64_t>(offsets);
  sets.kept = at<const std::int32_t>(kept);
  sets.n_kept = at<const std::int64_t>(n_kept);
  sets.width = width;
  sets.n_sets = n_sets;
  sets.most = most;
  sets.names = at<const std::int64_t>(names);
  sets.first_out = at<const std::int64_t>(first_out);
  sets.n_clusters = n_clusters;
  sets.seed = seed;
  sets.max_iter = max_iter;
  sets.tol = tol;
  sets.scratch = at<double>(scratch);
  sets.n_blocks = n_blocks;
  sets.out = at<float>(out);
  cuda::small_kmeans(sets, stream);
}

void class_attention_binding(Address q, Address keys, std::int64_t n, std::int64_t n_heads, std::int64_t n_key_heads,
                             std::int64_t n_tokens, std::int64_t d_head, std::int64_t n_prefix, std::int64_t q_step,
                             std::int64_t q_head_step, std::int64_t key_step, std::int64_t key_head_step,
                             std::int64_t key_token_step, float scale, Address out, Address stream) {
  cuda::ClassAttention a;
  a.q = at<const float>(q);
  a.keys = at<const float>(keys);
  a.n = n;
  a.n_heads = n_heads;
  a.n_key_heads = n_key_heads;
  a.n_tokens = n_tokens;
  a.d_head = d_head;
  a.n_prefix = n_prefix;
  a.q_step = q_step;
  a.q_head_step = q_head_step;
  a.key_step = key_step;
  a.key_head_step = key_head_step;
  a.key_token_step = key_token_step;
  a.scale = scale;
  a.out = at<float>(out);
  cuda::class_attention(a, stream);
}

void filter_patches_binding(Address rows, Address attention, std::int64_t n, std::int64_t n_patches,
                            std::int64_t n_dims, double tau, double norm_threshold, Address kept, Address n_kept,
                            Address stream) {
  cuda::PatchFilter f;
  f.rows = at<const float>(rows);
  f.attention = at<const float>(attention);
  f.n = n;
  f.n_patches = n_patches;
  f.n_dims = n_dims;
  f.tau = tau;
  f.norm_threshold = norm_threshold;
  f.kept = at<std::int32_t>(kept);
  f.n_kept = at<std::int64_t>(n_kept);
  cuda::filter_patches(f, stream);
}

}  // namespace

void bind_cuda_patterns(py::module_& module) {
  module.def("small_kmeans_scratch", &cuda::small_kmeans_scratch, py::arg("n_clusters"), py::arg("n_dims"),
             py::arg("most"), "float64 numbers of scratch that a block of small_kmeans needs.");
  module.def("small_kmeans", &small_kmeans_binding, py::kw_only(), py::arg("points"), py::arg("row_stride"),
             py::arg("n_dims"), py::arg("offsets"), py::arg("kept"), py::arg("n_kept"), py::arg("width"),
             py::arg("n_sets"), py::arg("most"), py::arg("names"), py::arg("first_out"), py::arg("n_clusters"),
             py::arg("seed"), py::arg("max_iter"), py::arg("tol"), py::arg("scratch"), py::arg("n_blocks"),
             py::arg("out"), py::arg("stream"), WithoutGil(), "k-means of many small sets: csrc/cuda/small_kmeans.h.");
  module.def("class_attention", &class_attention_binding, py::kw_only(), py::arg("q"), py::arg("keys"), py::arg("n"),
             py::arg("n_heads"), py::arg("n_key_heads"), py::arg("n_tokens"), py::arg("d_head"), py::arg("n_prefix"),
             py::arg("q_step"), py::arg("q_head_step"), py::arg("key_step"), py::arg("key_head_step"),
             py::arg("key_token_step"), py::arg("scale"), py::arg("out"), py::arg("stream"), WithoutGil(),
             "The class token's attention, averaged over heads: csrc/cuda/patches.h.");
  module.def("filter_patches", &filter_patches_binding, py::kw_only(), py::arg("rows"), py::arg("attention"),
             py::arg("n"), py::arg("n_patches"), py::arg("n_dims"), py::arg("tau"), py::arg("norm_threshold"),
             py::arg("kept"), py::arg("n_kept"), py::arg("stream"), WithoutGil(),
             "Which patches of every picture are kept: csrc/cuda/patches.h.");
  module.attr("MOST_SHARED") = cuda::kMostShared;
}

}  // namespace oneglance
