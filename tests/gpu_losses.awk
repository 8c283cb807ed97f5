# Compares the losses of a run on the processor with those of the same run on the GPU, step by step.
#
#   awk -f tests/gpu_losses.awk -v rho=R -v forward=F -v gradient=G cpu nudged cuda [tf32 bf16]
#
# Each file holds one loss a line. `nudged` is the run on the processor at the learning rate times 1 + rho.
#
# The bound. Rounding enters twice. A loss computed from given weights differs by at most the rounding of the forward
# pass, F * loss. And every update differs by G relative to itself, which moves the weights and with them all later
# losses. How much is not guessed but measured: rho in the learning rate is just such a relative change of every
# update, the same in all of them and along the gradient, where the loss changes fastest; so to first order a change
# G of the updates changes the losses by no more than G / rho of what rho does. Hence at step t
#
#   |cpu - cuda| <= F * |cpu| + G / rho * max over s <= t of |cpu - nudged|
#
# F and G sum lambda * sqrt(n) * 2^-24 over the sums of n terms that a value passes through (Higham and Mary, SIAM
# J. Sci. Comput. 41, 2019: rounding errors of a sum are independent, so that it is off by sqrt(n) of them; lambda = 4
# leaves one element in thousands outside).
function abs(x) { return x < 0 ? -x : x }
function number(text) { return text ~ /^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$/ }
FNR == 1 { ++file; names[file] = FILENAME; sub(/.*\//, "", names[file]) }
{ loss[file, FNR] = $1; count[file] = FNR; if (!number($1)) { odd[file] = odd[file] " " FNR } }
END {
  steps = count[1]
  for (f = 1; f <= file; ++f) {
    if (count[f] != steps) { printf "%s: %d steps, %s has %d\n", names[f], count[f], names[1], steps; bad = 1 }
    if (odd[f]) { printf "%s: no finite loss in steps%s\n", names[f], odd[f]; if (f <= 3) bad = 1 }
  }
  if (file < 3 || steps == 0) { print "losses are missing"; exit 1 }
  if (bad) exit 1
  for (t = 1; t <= steps; ++t) {
    nudge = abs(loss[1, t] - loss[2, t])
    if (nudge > largest) largest = nudge
    bound = forward * abs(loss[1, t]) + gradient / rho * largest
    for (f = 3; f <= file; ++f) {
      d = abs(loss[1, t] - loss[f, t])
      if (d >= worst[f]) { worst[f] = d; at[f] = t; lim[f] = bound }
      if (d > bound * share[f]) share[f] = d / bound
    }
    if (abs(loss[1, t] - loss[3, t]) > bound) { ++outside; last = t }
    if (t <= 3 || t % 10 == 0)
      printf "step %3d  cpu %.7f  cuda %.7f  differs %.1e  bound %.1e\n", t, loss[1, t], loss[3, t],
        abs(loss[1, t] - loss[3, t]), bound
  }
  for (f = 3; f <= file; ++f)
    printf "%-12s largest difference %.2e at step %d (bound of f32 there %.2e); up to %.3g of that bound%s\n",
      names[f], worst[f], at[f], lim[f], share[f], f == 3 ? "" : "  (for information)"
  if (outside) printf "%d of %d steps outside the bound, the last is %d\n", outside, steps, last
  exit outside > 0
}
