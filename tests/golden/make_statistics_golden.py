"""Writes statistics.json, which tests/study/statistics.cpp compares with: what scipy says of small samples.

    python tests/golden/make_statistics_golden.py [FOLDER]        (default: the folder of this script)

Needs scipy.

    samples   values, mean, sd (n - 1), half_width of the 95 % t interval
    pairs     a, b, difference, half_width, t, p: the paired t-test
    beta      a, b, x, value: I_x(a, b)
    trimmed   values, share of the largest left out, mean, error: the trimmed mean and its standard error
    student   t, degrees, two_sided: P(|T| > t);  confidence, degrees, quantile
"""

import json
import pathlib
import random
import sys

import numpy as np
from scipy import special, stats


def sample(values):
    n = len(values)
    low, high = stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=stats.sem(values))
    return {"values": values, "mean": np.mean(values), "sd": np.std(values, ddof=1), "half_width": (high - low) / 2}


def pair(a, b):
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(0.95)
    return {"a": a, "b": b, "difference": np.mean(np.subtract(a, b)), "half_width": (high - low) / 2, "t": test.statistic,
            "p": test.pvalue}


def trimmed(values, share):
    # n times the share is whole, as scipy rounds the number left out down but not the share; and it fails for a 0.
    limits = (1e-16, max(share, 1e-16))
    return {"values": values, "share": share, "mean": stats.mstats.trimmed_mean(values, limits),
            "error": stats.mstats.trimmed_stde(values, limits)}


def main(folder):
    rng = random.Random(0)
    draws = [[rng.gauss(3, 2) for _ in range(n)] for n in (2, 3, 5, 12, 40)]
    shifted = [[x + rng.gauss(0.3, 0.5) for x in draw] for draw in draws]
    golden = {
        "samples": [sample(draw) for draw in draws],
        "pairs": [pair(a, b) for a, b in zip(draws, shifted)],
        "trimmed": [trimmed([rng.lognormvariate(0, 1) for _ in range(n)], share)
                    for n, share in ((20, 0.1), (20, 0.0), (100, 0.1), (12, 0.25))],
        "beta": [{"a": a, "b": b, "x": x, "value": special.betainc(a, b, x)}
                 for a in (0.5, 1, 3.7, 60) for b in (0.5, 2, 25) for x in (1e-6, 0.05, 0.4, 0.7, 0.999)],
        "student": [{"t": t, "degrees": n, "two_sided": 2 * stats.t.sf(t, n)}
                    for t in (0.0, 0.2, 1.7, 6.0, 40.0) for n in (1, 2, 4, 9, 99)],
        "quantiles": [{"confidence": q, "degrees": n, "quantile": stats.t.ppf((1 + q) / 2, n)}
                      for q in (0.5, 0.95, 0.999) for n in (1, 2, 4, 9, 99)],
    }
    (folder / "statistics.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
