"""`oneglance select --strategy freesel|farthest|kmeans` from the outside, also on a store with patterns."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import run

import oneglance as og


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ids = np.array([f"img{i:02d}.jpg" for i in range(90)])
    light = np.array(["day"] * 60 + ["night"] * 30)
    source = {"vit": rng.normal(size=(90, 5)), "cnn": rng.normal(size=(90, 4)), "name": ids, "light": light}
    og.embed(source, None, tmp_path / "store", id_column="name", stratum_column="light")
    Path("done.txt").write_text("img00.jpg\nimg01.jpg\n")
    Path("start.txt").write_text("img40.jpg\nimg07.jpg\n")
    return tmp_path


def picked(folder="selection"):
    with open(Path(folder) / "selected.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("strategy", ["freesel", "farthest", "kmeans"])
def test_files_of_a_run(here, strategy):
    command = [
        "select",
        "store",
        "--budget",
        "12",
        "--strategy",
        strategy,
        "--backbones",
        "vit",
        "--labelled",
        "done.txt",
    ]
    out, err = run(*command)
    assert "distance to the nearest pick" in out
    assert "selected 12 of 88 items -> " in out
    assert "represented.parquet" in out
    assert "who represents whom" in err
    files = {path.name: path.read_bytes() for path in (here / "selection").iterdir()}
    assert sorted(files) == ["represented.parquet", "run.json", "selected.csv", "selected.parquet"]
    run(*command)
    assert files == {path.name: path.read_bytes() for path in (here / "selection").iterdir()}
    python = og.select("store", 12, strategy, backbones=["vit"], labelled=["img00.jpg", "img01.jpg"])
    assert [row["item_id"] for row in picked()] == python.ids.tolist()
    assert [row["inclusion_prob"] for row in picked()] == [""] * 12
    everyone = pq.read_table("selection/represented.parquet")
    assert everyone.column_names == ["row_id", "item_id", "represented_by", "distance"]
    assert set(everyone["represented_by"].to_pylist()) == {"img00.jpg", "img01.jpg", *python.ids.tolist()}
    document = json.loads((here / "selection" / "run.json").read_text())
    assert document["certificate"]["coverage"]["curve"][-1]["picks"] == 12
    assert "represented.parquet" in document["files"]


def test_a_second_batch_extends_the_first(here):
    common = ["select", "store", "--strategy", "farthest", "--backbones", "cnn"]
    run(*common, "--budget", "20", "--out", "all")
    run(*common, "--budget", "8", "--out", "one")
    run(*common, "--budget", "12", "--labelled", "one/selected.csv", "--out", "two")
    assert [row["item_id"] for row in picked("one") + picked("two")] == [row["item_id"] for row in picked("all")]


def test_options_of_the_strategies(here):
    vit = ["select", "store", "--backbones", "vit", "--budget", "6", "--overwrite", "--strategy"]
    run(*vit, "freesel", "--rule", "fds", "--metric", "sqeuclidean", "--start", "start.txt")
    assert [row["item_id"] for row in picked()][:2] == ["img40.jpg", "img07.jpg"]
    document = json.loads(Path("selection/run.json").read_text())
    assert document["request"]["params"] == {
        "rule": "fds", "metric": "sqeuclidean", "start": ["img40.jpg", "img07.jpg"]
    }  # fmt: skip
    run(*vit, "freesel", "--gamma", "1", "--strata", "stratum")
    run(*vit, "kmeans", "--clusters", "3", "--max-iter", "5", "--metric", "cosine")
    assert json.loads(Path("selection/run.json").read_text())["certificate"]["clusters"] == 3
    run(*vit, "farthest", "--no-explain")
    assert len(json.loads(Path("selection/run.json").read_text())["certificate"]["coverage"]["curve"]) == 1
    run(*vit, "random")
    assert not Path("selection/represented.parquet").exists()
    run(*vit, "random", "--explain")
    assert Path("selection/represented.parquet").exists()
    out, _ = run(*vit, "lewis", "--explain", "--json")
    assert json.loads(out)["certificate"]["coverage"]["metric"] == "sqeuclidean"


def test_options_of_other_strategies_are_refused(here):
    for strategy, option in (("farthest", "--gamma"), ("kmeans", "--start"), ("lewis", "--metric"), ("freesel", "--p")):
        value = {"--gamma": "1", "--start": "start.txt", "--metric": "cosine", "--p": "1"}[option]
        _, err = run("select", "store", "--budget", "5", "--strategy", strategy, option, value, code=2)
        assert f"{option} has no meaning with --strategy {strategy}. Leave it out." in err
    _, err = run("select", "store", "--budget", "5", "--strategy", "farthest", code=2)
    assert "the pool has ['vit', 'cnn']. Choose one with" in err
    assert "--backbones vit." in err


@pytest.mark.parametrize("strategy", ["freesel", "farthest", "kmeans"])
def test_plans(here, strategy):
    arguments = ["select", "store", "--budget", "9", "--strategy", strategy, "--backbones", "vit", "--dry-run"]
    out, _ = run(*arguments)
    assert "to label" in out
    assert "vit" in out
    document = json.loads(run(*arguments, "--json")[0])["plan"]
    assert document["n_picks"] == 9
    assert list(document["backbones"]) == ["vit"]
    assert document["passes"] > 1
    assert not Path("selection").exists()


def test_freesel_takes_the_patterns_of_a_store(tmp_path, make_pictures, monkeypatch):
    torch = pytest.importorskip("torch")
    from oneglance import features

    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pool", 24)
    (tmp_path / "pool" / "zz.png").write_bytes(b"no picture")
    torch.manual_seed(1)
    layers = torch.nn.Conv2d(3, 6, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    backbone = features.Backbone(torch.nn.Sequential(*layers), features.Preprocess(size=16), name="cnn")
    store = og.embed(tmp_path / "pool", backbone, tmp_path / "store", patterns=4)
    patterns = store.patterns("cnn")
    assert patterns.counts()[-1] == 0
    out, err = run("select", "store", "--budget", "9", "--strategy", "freesel", "--seed", "4")
    assert "FreeSel (prob) over 96 patterns of cnn (cosine)" in err
    want = og.weighted_draw(
        patterns.rows, 9, gamma=2.0, metric="cosine", offsets=patterns.offsets, mask=store.valid, seed=4
    )
    assert [int(row["row_id"]) for row in picked()] == want.indices.tolist()
    assert "note:" not in out
    everyone = pq.read_table("selection/represented.parquet").to_pylist()
    assert everyone[-1]["represented_by"] is None
    plan = json.loads(run("select", "store", "--budget", "9", "--strategy", "freesel", "--dry-run", "--json")[0])
    assert plan["plan"]["backbones"]["cnn"]["n_patterns"] == 96
    farthest = og.select(store, 5, "farthest")  # the global features, which are there as well
    assert farthest.certificate["n_patterns"] is None
