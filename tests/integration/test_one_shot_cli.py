"""`oneglance evaluate --protocol one-shot` from the outside, on tiny data."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import run

import oneglance as og

SMALL = ("--protocol", "one-shot", "--budgets", "6,10%", "--initial", "10", "--seeds", "4", "--splits", "2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a store of 120 labelled items, and targets in a file, some missing."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    classes = np.sort(rng.integers(0, 3, 120))
    vit = (2 * np.eye(3, 8)[classes] + rng.normal(size=(120, 8))).astype(np.float32)
    cnn = (vit[:, :5] + rng.normal(size=(120, 5))).astype(np.float32)
    names = np.array(["cat", "dog", "owl"])[classes]
    ids = np.array([f"img{i:03d}.jpg" for i in range(120)])
    og.embed({"vit": vit, "cnn": cnn, "name": ids, "kind": names}, None, "store", id_column="name", label_column="kind")
    np.save("targets.npy", vit[:, :2] + rng.normal(size=(120, 2)))
    with open("size.csv", "w") as file:
        file.write("item_id,label\n")
        file.writelines(f"{item},{row[0]:.4f}\n" for item, row in zip(ids[10:], vit[10:], strict=True))
    return tmp_path


def test_tables_sentences_and_files_of_a_classification(here):
    asked = (
        "--labels",
        "label",
        "--heads",
        "ridge",
        "--strategies",
        "lewis,lewis:combine=single:cnn,farthest,qbc:rounds=2",
    )
    out, err = run("evaluate", "store", *asked, *SMALL, "--out", "e", "--per-head")
    for text in (
        "squared error to one-hot classes, mean over 2 heads, 10 initial labels and the picks",
        "accuracy, mean over 2 heads",
        "What the maximum over backbones gains",
        "T(k), the sum of the largest Lewis weight over the first k backbones (p=2)",
        "kappa(t)",
        "largest / smallest class among the labels",
        "seconds at 10 picks",
        "vit: squared error",
        "lewis:combine=single:cnn, weighted heads, against lewis:",
        "qbc:rounds=2, plain heads, against random:",
        "note: intervals from 4 seeds are too narrow",
        "-> e/runs.parquet, e/one_shot.json",
    ):
        assert text in out, text
    assert "cells" in err
    assert sorted(path.name for path in (here / "e").iterdir()) == [
        "cells",
        "one_shot.json",
        "run.json",
        "runs.parquet",
    ]
    runs = pq.read_table("e/runs.parquet")
    assert runs.num_rows == 4 * 2 * 2 * (1 + 3 + 3 + 1 + 1)  # seeds, budgets, backbones, weightings
    second, err = run("evaluate", "store", *asked, *SMALL, "--out", "e", "--json")
    assert "40 of 40 cells are there already" in err
    assert json.loads(second)["conclusions"] == [line for line in out.splitlines() if " heads, against " in line]
    assert pq.read_table("e/runs.parquet").equals(runs)


def test_a_regression_from_a_list_and_from_an_array(here):
    asked = ("--task", "regression", "--strategies", "lewis,qbc", "--out")
    out, _ = run(
        "evaluate", "store", "--labels", "size.csv", *asked, "e", *SMALL, "--p", "1.5", "--heads", "unpenalised"
    )
    assert "110 of 120 items take part: 10 have no label" in out
    assert "|error|^1.5 of targets at unit spread, mean over 2 heads" in out
    assert "(p=1.5)" in out
    out, _ = run(
        "evaluate", "store", "--labels", "targets.npy", *asked, "f", *SMALL, "--backbones", "vit,cnn", "--json"
    )
    document = json.loads(out)
    assert (document["task"], document["n_outputs"], document["p"]) == ("regression", 2, 2.0)
    assert document["agreement"]["bounds"] == [8, 13]
    assert {contrast["metric"] for contrast in document["contrasts"]} == {"loss", "pool_loss"}
    assert all(
        contrast["test_margin"] is None for contrast in document["contrasts"] if contrast["metric"] == "pool_loss"
    )


def test_dry_run_prints_counts_and_writes_nothing(here):
    out, _ = run("evaluate", "store", "--labels", "label", *SMALL, "--dry-run")
    assert "120 with labels, 3 classes" in out
    assert "10 initial, then 6, 10" in out
    assert "64 (strategy, budget, seed), 0 of them in evaluation" in out
    assert not (here / "evaluation").exists()
    out, _ = run("evaluate", "store", "--labels", "label", *SMALL, "--strategies", "random", "--dry-run", "--json")
    assert json.loads(out)["plan"]["n_heads"] == 8 * 2


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--baseline-budgets", "5"], "--baseline-budgets has no meaning with --protocol one-shot."),
        (["--heads", "ridge,linear"], "--heads of --protocol one-shot --task classification is one of linear, ridge"),
        (["--task", "regression", "--heads", "linear"], "--task regression is one of ridge, unpenalised"),
        (["--strategies", "qbk"], "--strategies names 'qbk'; there are all, auto"),
        (["--task", "regression"], "labels of a regression must be numbers: could not convert string to float: 'cat'"),
        (["--initial", "half"], "initial: budget must be a count like 500"),
        (["--initial", "95"], "initial labels and the largest budget are 95 + 10"),
        (["--protocol", "curves", "--p", "1"], "--p belongs to --protocol one-shot."),
        (["--protocol", "curves", "--strategies", "qbc"], "--strategies names 'qbc'"),
    ],
)
def test_messages(here, args, text):
    base = [*SMALL[:-8], *SMALL[2:]] if "--initial" not in args else [*SMALL[:4], *SMALL[6:]]
    if "curves" in args:
        base = ["--seeds", "4"]
    _, err = run("evaluate", "store", "--labels", "label", *base, *args, code=2)
    assert text in " ".join(err.split())
