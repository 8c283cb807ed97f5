#include <algorithm>

#include "engine/ops.h"
#include "kernels/gemm.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// A batch of matrices as a product reads it: `rows` x `columns` as they lie in memory.
struct Matrices {
  Tensor values;
  Op op = Op::none;

  int64_t rows() const { return values.dim(-2); }
  int64_t columns() const { return values.dim(-1); }
  int64_t size() const { return rows() * columns(); }
};

Matrices flipped(const Matrices& x) {
  return {x.values, x.op == Op::none ? Op::transpose : Op::none};
}

/// op(a) op(b) for each matrix of the batch, in the shape `shape` [..., m, n].
Tensor product(const Matrices& a, const Matrices& b, const Shape& shape) {
  Tensor y = Tensor::empty(shape, a.values.dtype(), a.values.device());
  const int64_t m = y.dim(-2), n = y.dim(-1);
  const int64_t k = a.op == Op::none ? a.columns() : a.rows();
  const int64_t count = m * n == 0 ? 0 : y.numel() / (m * n);
  dispatch_float("matmul", y, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(y.device(), gemm_batched<T>)
    (count, a.op, b.op, m, n, k, Wide<T>(1), a.values.data<T>(), a.columns(), a.size(),
     b.values.data<T>(), b.columns(), b.size(), Wide<T>(0), y.data<T>(), n, m * n);
  });
  return y;
}

}  // namespace

Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b) {
  const Shape &sa = a.shape(), &sb = b.shape();
  check(
      sa.size() >= 3 && sa.size() == sb.size() && std::equal(sa.begin(), sa.end() - 2, sb.begin()),
      "matmul: a and b must be [..., rows, columns] with equal leading axes, the example first; "
      "got {} and {}",
      to_string(sa), to_string(sb));
  check(a.dtype() == b.dtype(), "matmul: a and b must have one dtype; got {} and {}",
        to_string(a.dtype()), to_string(b.dtype()));
  const int64_t m = a.dim(transpose_a ? -1 : -2), k = a.dim(transpose_a ? -2 : -1);
  const int64_t n = b.dim(transpose_b ? -2 : -1);
  check(b.dim(transpose_b ? -1 : -2) == k,
        "matmul: a{} {} and b{} {} must agree in the axis that is summed, {}; got {}",
        transpose_a ? " (transposed)" : "", to_string(sa), transpose_b ? " (transposed)" : "",
        to_string(sb), k, b.dim(transpose_b ? -1 : -2));
  Shape shape = sa;
  shape[shape.size() - 2] = m;
  shape.back() = n;
  const Op op_a = transpose_a ? Op::transpose : Op::none;
  const Op op_b = transpose_b ? Op::transpose : Op::none;
  Tensor y = product({a.value(), op_a}, {b.value(), op_b}, shape);  // [..., m, n]

  return a.tape().record(
      y, {a.slot(), b.slot()}, {},
      [sa, sb, op_a, op_b, slot_a = a.slot(), slot_b = b.slot(),
       va = b.slot().wanted() ? a.value() : Tensor(),
       vb = a.slot().wanted() ? b.value() : Tensor()](Tensor gy, Backprop& back) {
        // Y = A B: gA = gY B^T and gB = A^T gY; a gradient that lies transposed is the product of
        // the transposes.
        const Matrices g{gy, Op::none}, ma{va, op_a}, mb{vb, op_b};
        if (slot_a.wanted()) {
          back.give(slot_a,
                    op_a == Op::none ? product(g, flipped(mb), sa) : product(mb, flipped(g), sa));
        }
        if (slot_b.wanted()) {
          back.give(slot_b,
                    op_b == Op::none ? product(flipped(ma), g, sb) : product(flipped(g), ma, sb));
        }
      });
}

}  // namespace minnow
