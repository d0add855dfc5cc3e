"""`oneglance evaluate` from the outside, on tiny data."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import run

import oneglance as og

SMALL = [
    "--strategies",
    "kmeans,farthest",
    "--budgets",
    "6,10%",
    "--seeds",
    "4",
    "--splits",
    "2",
    "--heads",
    "ridge,knn",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a store of 120 labelled items, the same as vectors, and lists of labels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    classes = np.sort(rng.integers(0, 3, 120))
    vit = (2 * np.eye(3, 8)[classes] + rng.normal(size=(120, 8))).astype(np.float32)
    cnn = (vit[:, :5] + rng.normal(size=(120, 5))).astype(np.float32)
    names = np.array(["cat", "dog", "owl"])[classes]
    ids = np.array([f"img{i:03d}.jpg" for i in range(120)])
    og.embed(
        {"vit": vit, "cnn": cnn, "name": ids, "kind": names},
        None,
        tmp_path / "store",
        id_column="name",
        label_column="kind",
    )
    np.savez("both.npz", train=vit, test=vit[::4] + 0.1, y=classes, y_test=classes[::4])
    np.save("y.npy", classes)
    with open("half.csv", "w") as file:
        file.write("item_id,label\n")
        file.writelines(f"{item},{name}\n" for item, name in zip(ids[::2], names[::2], strict=True))
    return tmp_path


def test_tables_sentences_and_files(here):
    out, err = run("evaluate", "store", "--labels", "label", *SMALL, "--out", "e")
    for text in ("vit: accuracy", "cnn: accuracy", "stacked: accuracy", "minus random [95 %]", "labels saved", "area"):
        assert text in out
    assert "kmeans against random on stacked:" in out
    assert "farthest against random on vit:" in out
    assert "note: no chance in farthest: run once per split (2), seeds do not matter." in out
    assert "intervals from 4 seeds are too narrow" in out
    assert "cells" in err
    assert sorted(path.name for path in (here / "e").iterdir()) == [
        "cells",
        "evaluation.json",
        "evaluation.png",
        "run.json",
        "runs.parquet",
        "summary.parquet",
    ]
    runs = pq.read_table("e/runs.parquet")
    assert set(runs["strategy"].to_pylist()) == {"random", "kmeans", "farthest"}
    assert runs.num_rows == 3 * 2 * (4 + 4 + 2) * 2
    assert pq.read_table("e/summary.parquet").num_rows == 3 * 2 * 3 * 3


def test_json_is_one_document_and_a_second_run_reuses_everything(here):
    args = ("evaluate", "store", "--labels", "label", *SMALL, "--out", "e", "--json", "--no-plot")
    first, _ = run(*args)
    runs = (here / "e" / "runs.parquet").read_bytes()
    second, err = run(*args)
    assert json.loads(first) == json.loads(second)
    assert len(json.loads(first)["conclusions"]) == 6
    assert "60 of 60 cells are there already" in err
    assert (here / "e" / "runs.parquet").read_bytes() == runs
    _, err = run(*args, "--fresh")
    assert "are there already" not in err


@pytest.mark.parametrize("protocol", ["curves", "one-shot"])
def test_dry_run_refuses_a_folder_of_another_evaluation(here, protocol):
    small = ["--strategies", "kmeans", "--budgets", "6", "--seeds", "3", "--splits", "1", "--heads", "ridge"]
    asked = ["evaluate", "both.npz", "--vector-column", "train", "--protocol", protocol, *small, "--out", "e"]
    run(*asked, "--labels", "both.npz:y")
    assert "cells" in run(*asked, "--labels", "both.npz:y", "--dry-run")[0]
    np.save("other.npy", np.load("y.npy")[::-1])
    for more in ((), ("--dry-run",)):
        assert "holds another evaluation (different: labels" in run(*asked, "--labels", "other.npy", *more, code=2)[1]
    run(*asked, "--labels", "other.npy", "--dry-run", "--fresh")
    os.makedirs("mine")
    open("mine/notes.txt", "w").close()
    assert "was not made by evaluate" in run(*asked[:-1], "mine", "--labels", "other.npy", "--dry-run", code=2)[1]


def test_dry_run_prints_counts_and_writes_nothing(here):
    out, _ = run("evaluate", "store", "--labels", "label", *SMALL, "--dry-run")
    assert "120 with labels, 3 classes" in out
    assert "2: pool 96, test rows 24" in out
    assert "60 (backbone, strategy, budget, seed), 0 of them in evaluation" in out
    assert "time" in out
    assert not (here / "evaluation").exists()
    plan = json.loads(run("evaluate", "store", "--labels", "label", *SMALL, "--dry-run", "--json")[0])["plan"]
    assert (plan["n_cells"], plan["n_done"], plan["n_heads"]) == (60, 0, 120)
    assert plan["n_selections"] == 60 - 3 * 2  # farthest: both budgets from one selection, twice per backbone


def test_labels_in_files_and_a_test_set_of_its_own(here):
    out, _ = run("evaluate", "store", "--labels", "half.csv", *SMALL, "--backbones", "vit", "--per-head", "--no-plot")
    assert "60 of 120 items take part: 60 have no label" in out
    assert "vit: accuracy, head knn" in out
    common = ("both.npz", "--vector-column", "train", "--strategies", "kmeans", "--budgets", "6", "--seeds", "3")
    test = ("--test", "both.npz", "--test-vector-column", "test", "--test-labels", "both.npz:y_test")
    out, _ = run("evaluate", *common, "--labels", "y.npy", *test, "--heads", "ridge", "--out", "f", "--json")
    assert (json.loads(out)["pool"], json.loads(out)["test"]) == (120, 30)


def test_backbones_of_the_test_set_carry_the_pools_names(here):
    rng = np.random.default_rng(1)
    for part, count in (("train", 90), ("held", 30)):
        classes = rng.integers(0, 3, count)
        os.makedirs(part, exist_ok=True)
        np.save(f"{part}/vit.npy", (2 * np.eye(3, 8)[classes] + rng.normal(size=(count, 8))).astype(np.float32))
        np.save(f"{part}/y.npy", classes)
    args = ("train/vit.npy", "--labels", "train/y.npy", "--strategies", "kmeans", "--budgets", "6", "--seeds", "3")
    out, _ = run("evaluate", *args, "--test", "held/vit.npy", "--test-labels", "held/y.npy", "--no-plot", "--json")
    assert (json.loads(out)["pool"], json.loads(out)["test"], json.loads(out)["splits"]) == (90, 30, 1)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--labels", "class"], "--labels: 'class' is neither a column of the store"),
        (["--labels", "missing.npy"], "--labels: missing.npy does not exist"),
        (["--labels", "both.npz"], "name an array of both.npz as both.npz:NAME; it has train, test, y, y_test"),
        (["--labels", "label", "--strategies", "kmaens"], "--strategies names 'kmaens'; there are all, auto, lewis"),
        (["--labels", "label", "--heads", "svm"], "--heads names 'svm'; there are ridge, linear, knn"),
        (["--labels", "label", "--budgets", "half"], "budgets: budget must be a count like 500"),
        (["--labels", "label", "--folds", "3", "--splits", "2"], "folds and splits exclude each other"),
        (["--labels", "label", "--test", "120%"], "test must be a share between 0 and 1"),
        (["--labels", "source"], "labels hold 120 classes for 120 items"),
        ([], "Missing option '--labels'"),
    ],
)
def test_messages(here, args, text):
    _, err = run("evaluate", "store", "--seeds", "5", *args, code=2)
    assert text in " ".join(err.split())


def test_a_killed_run_goes_on_to_the_same_bytes(here):
    args = ["evaluate", "store", "--labels", "label", *SMALL, "--seeds", "12", "--no-plot", "--json"]
    code = "from oneglance.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args, "--out", "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list((here / "killed").rglob("seed-*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(*args, "--out", "killed")
    run(*args, "--out", "whole")
    tables = [pq.read_table(f"{folder}/runs.parquet").drop(["select_s"]) for folder in ("killed", "whole")]
    assert tables[0].equals(tables[1])
    assert (here / "killed" / "summary.parquet").read_bytes() == (here / "whole" / "summary.parquet").read_bytes()


def test_processes_that_end_together_write_one_after_the_other(here, monkeypatch):
    """Another process holds the folder while this one has its answers: the tables wait."""
    from oneglance.evaluation.evaluation import Evaluation

    run("evaluate", "store", "--labels", "label", *SMALL, "--out", "e")
    hold = (
        "import time; from pathlib import Path; from oneglance.store.lock import in_turn\n"
        "with in_turn(Path('e')): print('held', flush=True); time.sleep(4); Path('done').touch()"
    )
    to_parquet, waited = Evaluation.to_parquet, []

    def watched(self, path):
        waited.append((here / "done").exists())
        to_parquet(self, path)

    monkeypatch.setattr(Evaluation, "to_parquet", watched)
    monkeypatch.setattr("oneglance.evaluation.cells.in_turn", lambda folder: contextlib.nullcontext())
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        run("evaluate", "store", "--labels", "label", *SMALL, "--out", "e")
    assert waited == [True]
