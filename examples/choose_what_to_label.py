"""Which 60 of 1,797 scanned digits should be labelled, if two models are to be fitted? No labels needed.

Run: python examples/choose_what_to_label.py       (needs scikit-learn for the digits; writes to_label.csv)
"""

import numpy as np
from sklearn.datasets import load_digits

import oneglance as og

pixels = load_digits().data / 16  # (1797, 64) in [0, 1]

# Two views of the same items; with pictures, `og.embed(folder, backbones, out)` writes such features to disk.
rng = np.random.default_rng(0)
features = {
    "pixels": pixels,
    "random_relu": np.maximum(pixels @ rng.normal(size=(64, 48)), 0),
}

chosen = og.select(features, budget=60, seed=0)

for name, entry in chosen.certificate["backbones"].items():
    print(f"{name}: rank {entry['rank']}, {entry['passes']} passes, residual {entry['residual']:.0e}")
print(f"first picks: {chosen.indices[:5].tolist()}; the most important: {chosen.reason[0]}")

# The weights make sums over the picks estimates of sums over the pool.
ink = pixels.sum(axis=1)
print(f"ink in the pool {ink.sum():.0f}, estimated from 60 picks {chosen.weights @ ink[chosen.indices]:.0f}")

chosen.to_csv("to_label.csv")
