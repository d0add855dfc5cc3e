"""`oneglance select` with the strategies of the family and their options, from the outside."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    np.save("vit.npy", np.vstack([rows, rows[:6]]))
    return tmp_path


OPTIONS = {
    "typiclust": ["--max-clusters", 5, "--neighbors", 4, "--min-cluster", 2, "--max-iter", 9],
    "probcover": ["--delta", 0.3, "--metric", "cosine"],
    "herding": ["--sigma", 0.7, "--alpha", 0.9, "--mean-over", 50],
    "facility": ["--neighbors", 7, "--metric", "sqeuclidean"],
    "hierarchical": ["--levels", "20,4", "--draw", "random", "--resample", 2],
    "prototypes": ["--keep", "hard", "--clusters", 6, "--no-even"],
}


@pytest.mark.parametrize("strategy", OPTIONS)
def test_options_reach_the_strategy(here, strategy):
    command = ["select", "vit.npy", "--budget", 12, "--strategy", strategy, *OPTIONS[strategy]]
    out, _ = run(*command)
    assert "selected 12 of 86 items" in out
    with open(Path("selection") / "selected.csv", newline="") as file:
        assert len({row["row_id"] for row in csv.DictReader(file)}) == 12
    document = json.loads((Path("selection") / "run.json").read_text())
    asked = [name[2:].replace("-", "_") for name in OPTIONS[strategy][::2]]
    for name, value in zip(asked, OPTIONS[strategy][1::2], strict=False):
        told = document["request"]["params"][name]
        assert told == ([20, 4] if name == "levels" else value)
    plan = json.loads(run(*command, "--dry-run", "--json")[0])
    assert plan["plan"]["seconds"] > 0
    run("select", "vit.npy", "--budget", 3, "--strategy", "random", *OPTIONS[strategy], "--out", "other", code=2)


def test_near_duplicates_are_told(here):
    out, _ = run("select", "vit.npy", "--budget", 80, "--strategy", "facility", "--dedup", 1e-6)
    assert "dropped 6 near-duplicates, listed in run.json" in out
    document = json.loads((Path("selection") / "run.json").read_text())
    assert document["certificate"]["dedup"]["items"] == list(range(80, 86))
    assert document["certificate"]["dedup"]["duplicate_of"] == list(range(6))
    _, err = run("select", "vit.npy", "--budget", 81, "--dedup", 1e-6, "--out", "more", code=2)
    assert "6 near-duplicates" in err
    _, err = run("select", "vit.npy", "--budget", 5, "--strategy", "hierarchical", "--levels", "a,b", code=2)
    assert "must be numbers like 2000,200" in err
