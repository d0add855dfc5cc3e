"""`oneglance select` with groups, priorities, prices and a topic, from the outside."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_line import run

import oneglance as og

N = 120


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """vit.npy: 80 items on one side, 40 on another; files with a group, a priority and a price for every item."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N, 6)).astype(np.float32)
    rows[:80] += 3 * np.eye(6, dtype=np.float32)[0]
    rows[80:] = 0.3 * rows[80:] - 4 * np.eye(6, dtype=np.float32)[1]
    np.save("vit.npy", rows)
    write("groups.csv", ("row_id", "group"), [(row, f"g{row // 4}" if row % 7 else "") for row in range(N)])
    write("priority.csv", ("row_id", "priority"), [(row, 1 + row % 3) for row in range(N)])
    write("costs.csv", ("row_id", "cost"), [(row, 0.5 + (row * 7 % 11) / 4) for row in range(N)])
    Path("queries.txt").write_text("\n".join(map(str, range(0, 80, 3))))
    return tmp_path


def answer(folder="selection"):
    with open(Path(folder) / "selected.csv", newline="") as file:
        picks = list(csv.DictReader(file))
    return picks, json.loads((Path(folder) / "run.json").read_text())


@pytest.mark.parametrize("strategy", ["lewis", "kernel", "random", "kmeans"])
def test_groups(here, strategy):
    out, _ = run("select", "vit.npy", "--budget", 20, "--strategy", strategy, "--groups", "groups.csv")
    assert "selected 20 of 120 items" in out
    assert "groups, at most 1 each" in out
    picks, document = answer()
    known = [pick["group"] for pick in picks if pick["group"]]
    assert len(known) == len(set(known))
    assert document["request"]["groups"] == "groups.csv"
    assert document["request"]["per_group"] == 1
    assert document["request"]["groups_hash"]
    run("select", "vit.npy", "--budget", 20, "--strategy", strategy, "--groups", "groups.csv")  # the same again
    _, err = run("select", "vit.npy", "--budget", 90, "--groups", "groups.csv", "--per-group", 2, "--out", "b", code=2)
    assert "picks are possible" in err


def test_prices(here):
    out, _ = run("select", "vit.npy", "--budget", 30, "--strategy", "kmeans", "--costs", "costs.csv")
    picks, document = answer()
    assert math.fsum(float(pick["cost"]) for pick in picks) <= 30
    assert f"the picks cost {document['certificate']['costs']['spent']:g} of 30" in out
    run("select", "vit.npy", "--budget", "12.5%", "--costs", "costs.csv", "--out", "share")
    assert answer("share")[1]["certificate"]["costs"]["spent"] <= 0.125 * sum(0.5 + (r * 7 % 11) / 4 for r in range(N))
    plan = json.loads(run("select", "vit.npy", "--budget", 30, "--costs", "costs.csv", "--dry-run", "--json")[0])
    assert plan["plan"]["n_picks"] >= len(picks)
    _, err = run("select", "vit.npy", "--budget", 0.1, "--costs", "costs.csv", "--out", "c", code=2)
    assert "the cheapest item costs 0.5" in err
    Path("bad.csv").write_text("row_id,cost\n0,cheap\n")
    _, err = run("select", "vit.npy", "--budget", 3, "--costs", "bad.csv", "--out", "c", code=2)
    assert "costs must hold numbers, got 'cheap' at row 0" in err


def test_priority(here):
    more = ("--priority", "priority.csv", "--priority-weight", 0.9)
    run("select", "vit.npy", "--budget", 30, "--strategy", "random", *more)
    picks, document = answer()
    assert {float(pick["priority"]) for pick in picks} <= {1.0, 2.0, 3.0}
    assert document["certificate"]["priority"]["weight"] == document["request"]["priority_weight"] == 0.9
    _, err = run("select", "vit.npy", "--budget", 30, "--strategy", "farthest", *more, "--out", "other", code=2)
    assert "has no place for a priority" in err


def test_topic_from_items_and_from_a_second_store(here):
    out, _ = run("select", "vit.npy", "--budget", 10, "--strategy", "kernel", "--relevant-to", "queries.txt")
    assert "off the topic of 27 queries, listed in run.json" in out
    picks, document = answer()
    assert all(int(pick["row_id"]) < 80 for pick in picks)
    assert set(document["certificate"]["relevance"]["items"]) >= set(range(80, N))
    rows = np.load("vit.npy")
    stores = {"pool": rows, "queries": rows[0:80:3]}
    for name, array in stores.items():
        np.save(f"{name}.npy", array)
        run("embed", f"{name}.npy", "--out", f"{name}-store")
    run("select", "pool-store", "--budget", 10, "--relevant-to", "queries-store", "--out", "b")
    _, document = answer("b")
    assert len(document["certificate"]["relevance"]["items"]) >= 40
    assert document["request"]["relevant_to_hash"]
    assert og.open_store("queries-store").content_hash() == document["request"]["relevant_to_hash"]
    Path("few.txt").write_text("1\n2\n")
    _, err = run("select", "vit.npy", "--budget", 3, "--relevant-to", "few.txt", "--out", "c", code=2)
    assert "relevant_to holds 2 usable queries" in err


def test_options_that_need_another(here):
    for option, value, partner in (
        ("--per-group", 2, "--groups"),
        ("--priority-weight", 0.9, "--priority"),
        ("--relevance", 0.1, "--relevant-to"),
    ):
        _, err = run("select", "vit.npy", "--budget", 3, option, value, code=2)
        assert f"{option} has no meaning without {partner}" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strata", "groups.csv", "--quota", "nobody=3"), "quotas name the stratum 'nobody'"),
        (("--strata", "weather"), "strata names the column 'weather'"),
        (("--groups", "groups.csv", "--budget", 115), "with per_group=1 only"),
        (("--priority", "costs.csv", "--strategy", "kmeans"), "has no place for a priority"),
        (("two.npy", "--explain"), "measures distances under one backbone"),
        (("two.npy", "--dedup", 0.1), "under one backbone"),
        (("--strata", "groups.csv", "--quota", "g1=\u00b2"), "must be STRATUM=COUNT"),
        (("--strategy", "hierarchical", "--levels", "\u00b2"), "must be numbers like 2000,200"),
    ],
)
def test_a_plan_refuses_what_the_run_would(here, options, words):
    np.save("two.npy", np.load("vit.npy")[:, :3])
    if "--groups" in options:
        options = (*options, "--strategy", "farthest")
    for more in ((), ("--dry-run",)):
        _, err = run("select", "vit.npy", "--budget", 9, *options, *more, code=2)
        assert words in " ".join(err.split())
