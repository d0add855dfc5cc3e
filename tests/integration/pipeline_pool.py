"""A pool of vectors for the tests of the pipeline, and what their user does and sees."""

import csv
import json

import numpy as np

import oneglance as og

N, CLASSES = 150, ("bar", "blob", "ring")
TOML = """
[pool]
source = "pool.npz"
vector_columns = ["X"]
id_column = "ids"
[test]
source = "test.npz"
vector_columns = ["X"]
labels = "test.npz:y"
[audit]
near = 0.9999
permutations = 199
sample_rows = 100
clusters = 3
[select]
budget = 20
[adapt]
head = "nearest_mean"
[evaluate]
repeats = 3
curve = [0.5, 1.0]
"""


def vectors(path, n, seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    rows = 4 * np.eye(3, 12)[codes] + rng.normal(size=(n, 12))
    ids = np.array([f"{CLASSES[code]}/{i:03d}" for i, code in enumerate(codes)])
    np.savez(path, X=rows.astype(np.float32), ids=ids, y=np.array(CLASSES)[codes])


def write(folder, text, *changes):
    """pipeline.toml, with each change (old, new) made."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def listed(path):
    with open(path.parent / "pipeline.run" / "to_label.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answer(path, rows=None, name="pipeline.run/labels.csv", label=lambda item: item.split("/")[0]):
    """The picks' labels, as their ids say."""
    rows = listed(path) if rows is None else rows
    with open(path.parent / name, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["item_id", "label"])
        out.writerows([row["item_id"], label(row["item_id"])] for row in rows)
    return [row["item_id"] for row in rows]


def states(found):
    return {step.name: step.state for step in found.steps}


def why(found, name):
    return next(step.why for step in found.steps if step.name == name)


def events(path):
    text = (path.parent / "pipeline.run" / "ledger.jsonl").read_text(encoding="utf-8")
    return [(event["step"], event["event"]) for event in map(json.loads, text.splitlines())]


def to_the_end(path):
    assert og.run_pipeline(path).state == "labels needed"
    answer(path)
    found = og.run_pipeline(path)
    assert found.state == "finished"
    return found


def og_record(folder, step):
    return json.loads((folder / "steps" / f"{step}.json").read_text(encoding="utf-8"))
