"""How much is a strategy worth on data whose labels are known? A comparison with intervals, on plain arrays.

Run: python examples/compare_strategies.py          (needs scikit-learn; a few seconds)
"""

import numpy as np
from sklearn.datasets import load_digits

from oneglance.evaluation import (
    HIGHER_IS_BETTER,
    METRICS,
    Split,
    compare,
    kmeans_picker,
    strategy_picker,
    verdict,
)

digits = load_digits()
pixels, labels = digits.data / 16, digits.target
features = {
    "pixels": pixels,
    "random_relu": np.maximum(pixels @ np.random.default_rng(0).normal(size=(64, 48)), 0),
}
held_out = np.arange(len(labels)) % 3 == 2
split = Split(
    {name: rows[~held_out] for name, rows in features.items()},
    labels[~held_out],
    {name: rows[held_out] for name, rows in features.items()},
    labels[held_out],
)

# A strategy is any function (pool features, budget, seed) -> Picks. None of them ever sees a label.
pickers = {
    "random": strategy_picker("random", use_weights=False),
    "k-means": kmeans_picker(),
    "Lewis": strategy_picker("lewis", use_weights=True),
}
result = compare(split, pickers, budgets=[100, 200], seeds=range(20))

for metric in METRICS:
    print(f"{metric} (all labels: {result.ceiling[metric]:.3f})")
    for budget in result.budgets:
        for name in ("k-means", "Lewis"):
            gap = result.difference(name, "random", budget, metric)
            word = verdict(gap, higher_is_better=HIGHER_IS_BETTER[metric])
            spread = f"[{gap.low:+.3f}, {gap.high:+.3f}]"
            print(f"  {budget} labels, {name} minus random: {gap.mean:+.3f} {spread} {word}")
