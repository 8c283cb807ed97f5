#pragma once

namespace minnow::study {

/// The notes of `minnow study theory` on the proofs, in plain text. Formulas as the paper has them:
/// a = 1 - epsilon, K = B / b.
inline constexpr const char* kTheorem1Notes =
    R"(Theorem 4.1 (SGD), eta = 1 / (L sqrt T), a = 1 - epsilon.

 1. C is a constant of the data in Assumption 4.4. The proof sets it ("for arithmetic convenience"):
      C^2 = (2 a eta - a^2 L eta^2) / (2 epsilon^2 L eta^2) = (2 a sqrt T - a^2) / (2 epsilon^2).
    So what is proved holds for C up to that limit, which grows as T^(1/4). The theorem states no such
    condition, and C does not occur in its bound. With C far above the limit it is false: see the first
    counterexample.
 2. E|mean of the batch|^2, third line of the proof: the number of draggers is taken as epsilon B. With
    probability epsilon for each example, as Assumption 4.3 has it, it is binomial, and by the paper's
    own Lemma 4.3 the term epsilon a (|g|^2 + |mu|^2) / B is missing. It is absorbed where
      a^2 + epsilon^2 C^2 + epsilon a (1 + C^2) / B <= 2 sqrt T (a - a^2 / 4).
 3. The rest can be followed: with (1) the coefficient of |g_t|^2 is -(a eta / 2 - a^2 L eta^2 / 4),
    which is at most -a^2 / (4 L sqrt T); the sum over t, and Jensen's inequality, give the bound.
 4. For epsilon -> 0 the bound is sqrt 2 times that of SGD without draggers (Table 1, first line): this
    factor comes from the choice in (1), not from draggers.)";

inline constexpr const char* kTheorem2Notes =
    R"(Theorem 4.2 (micro-batch clipping), a = 1 - epsilon.

 1. Algorithm 1 moves by eta sum_j rho_t g_j / |g_j| with rho_t = min_j |g_j|. What is proved is about
    equation 2, a mean over micro-batches without rho_t. The sum is K times the mean; and a lower bound
    of rho_t alone, which is what the text assumes, would not bound the term L eta^2 rho_t^2 / 2. So rho_t
    is taken as the constant 1. Hence the units: L_0 - L_* + 1 / (2 L) adds a loss and a squared gradient
    over L. With a constant rho it would be (L_0 - L_*) / rho + rho / (2 L).
 2. epsilon >= 1 / (b + 1): at equality both denominators are 0, and below it the formula is negative. The
    condition must be strict. It leaves out small b unless draggers are many: b = 4 needs epsilon > 0.2, and
    b = 1 needs epsilon > 1/2. For epsilon -> 0, where the problem becomes easier, the bound grows without
    limit.
 3. Write g_j = a g + epsilon mu + Delta. The proof needs Delta symmetric about 0, and Lemma 4.4 needs
    mu orthogonal to Delta. But Delta = (k/b - epsilon) (mu - g) + noise, with k, the number of draggers in
    the micro-batch, binomial: mu . Delta = (k/b - epsilon) |mu|^2 is not 0, and k/b - epsilon is
    symmetric for epsilon = 1/2 alone. Neither holds, whatever the noise of the benign gradients.
    This is no matter of form: the proof gives every micro-batch the dragger's part epsilon mu, which then
    outweighs the noise, and so gets the factor 1 / (1 + c). A micro-batch without a dragger has no such
    part. The second counterexample uses that: the theorem is false for b = 1.
 4. "Second inequality": the starred term is not always above a |g|^2 / (a |g| + epsilon |mu| + |Delta|) where
    |Delta| <= epsilon |mu| + epsilon |g|: for epsilon = 1/2, |mu| = |g| = 1 and Delta = g it is 0.2416, less
    than 0.25. (It can only fail where g . Delta > a |g|^2.)
 5. Misprints: in the fourth line of the chain, |Delta| > epsilon |mu| + |g| lacks an epsilon; in the two lines
    after "telescoping" a sum over t is missing; in Appendix B, |mu_t| lacks a square. Lemma 4.3, Lemma 4.4
    under its own conditions, and the last step from the chain to the bound can be followed as printed.
 6. Larger draggers make the printed bias smaller (1 / (1 + c)), and it falls with b like 1 / sqrt b. For a
    constant c it has no minimum between 1 and B.

What can be proved by the same steps: hold k fixed first, p = k/b, q = 1 - p. Then
    g_j = q g + p mu + n,  n symmetric, orthogonal to mu, E|n|^2 <= q sigma^2 / b,
 so that Lemma 4.4 applies with p for epsilon, and the expectation over n is never negative. Where
 |n| <= q |g|, both terms of the star are positive, and their sum is at least 2 q |g|^2 / (2 q |g| + p |mu|). With
 Markov's inequality, half of it is at least
    (q |g| - sigma sqrt(q/b)) / (2 q + p C) >= (q |g| - sigma sqrt(q/b)) / M,   M = max(2, C),
 (where it is negative, 0 is the better bound). The mean over k, with E q = a and E sqrt q <= sqrt a, gives
    g . E[g_j / |g_j|] >= (a |g| - sigma sqrt(a/b)) / M,
 and the telescoping sum, for every epsilon < 1, every b and K,
    min_t E|g_t| <= sigma / sqrt(a b) + M / (a sqrt T) . L (L_0 - L_* + 1 / (2 L)).
 Its bias falls with b and does not depend on c. So this line of proof has no sweet spot. What it gives away is
 the square of the update, |mean of K unit vectors|^2 <= 1: where noise prevails it is near 1/K = b/B. That
 term grows with b while the bias falls, which is what the simulation shows near the end of a run.)";

}  // namespace minnow::study
