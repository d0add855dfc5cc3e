"""A pipeline from end to end where the classes are known: the picks are answered by the first part of their ids.

Run: python examples/run_pipeline.py                                    (digits of scikit-learn; a few seconds)
     python examples/run_pipeline.py examples/pipeline_cifar10.toml     (needs torch and the pictures of ../shared)
With people who label, `oneglance run FILE` is all: type it again when labels.csv is there.
"""

import csv
import sys
from pathlib import Path

import numpy as np

import oneglance as og

DIGITS = """
[pool]
source = "digits.npz"
vector_columns = ["pixels"]
id_column = "ids"
[select]
budget = 60
[costs]
seconds_per_label = 3
[evaluate]
labels = "digits.npz:labels"
repeats = 3
[adapt]
head = "nearest_mean"
"""


def digits() -> Path:
    """pipeline.toml and its pool in the current folder."""
    from sklearn.datasets import load_digits

    found = load_digits()
    ids = [f"{label}/{number:04d}" for number, label in enumerate(found.target)]
    np.savez("digits.npz", pixels=found.data / 16, ids=ids, labels=found.target)
    Path("digits.toml").write_text(DIGITS, encoding="utf-8")
    return Path("digits.toml")


given = [Path(text) for text in sys.argv[1:] if text.endswith(".toml")]
path = given[0] if given else digits()
found = og.run_pipeline(path, progress=True)
if found.state == "labels needed":
    to_label = found.folder / "to_label.csv"
    with open(to_label, newline="", encoding="utf-8") as file:
        picks = list(csv.DictReader(file))
    with open(to_label, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, picks[0])
        out.writeheader()
        out.writerows({**pick, "label": pick["item_id"].split("/")[0]} for pick in picks)
    found = og.run_pipeline(path, progress=True)
print(f"{found.state}: {found.message}")
print((found.folder / "report.md").read_text(encoding="utf-8"))
