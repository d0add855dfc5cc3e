"""`oneglance select` from the outside."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from command_line import run

import oneglance as og
from oneglance.cli.main import VERBS, cli
from oneglance.cli.output import note, say
from oneglance.cli.select import select
from oneglance.errors import InvalidInput

ARGS = ["--budget", "20", "--seed", "3"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a store of 100 items, the same vectors as files, and lists of items."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    vit, cnn = rng.standard_t(2, (100, 5)).astype(np.float32), rng.normal(size=(100, 8)).astype(np.float32)
    ids = np.array([f"img{i:02d}.jpg" for i in range(100)])
    light = np.array(["day"] * 80 + ["night"] * 20)
    source = {"vit": vit, "cnn": cnn, "name": ids, "light": light}
    og.embed(source, None, tmp_path / "store", id_column="name", stratum_column="light")
    np.save("vit.npy", vit)
    np.save("cnn.npy", cnn)
    np.savez("both.npz", train=vit, test=vit[:10], names=ids)
    vectors = {"item": ids.tolist(), "v": list(vit), "w": list(cnn)}
    pq.write_table(pa.table(vectors), "vectors.parquet")
    (tmp_path / "done.txt").write_text("img00.jpg\nimg01.jpg\n\nimg01.jpg\n")
    (tmp_path / "rows.csv").write_text("row_id,why\n5,x\n6,y\n")
    return tmp_path


def rows(path="selection/selected.csv"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_same_command_same_bytes_and_the_same_as_python(here):
    out, _ = run("select", "store", *ARGS)
    assert "selected 20 of 100 items" in out
    assert "vit" in out
    assert "kappa(10 %)" in out
    assert "first picks" in out
    first = {path.name: path.read_bytes() for path in (here / "selection").iterdir()}
    assert sorted(first) == ["run.json", "selected.csv", "selected.parquet"]
    other_process = [sys.executable, "-c", "from oneglance.cli.main import main; main()", "select", "store", *ARGS]
    subprocess.run(other_process, check=True, capture_output=True)
    assert first == {path.name: path.read_bytes() for path in (here / "selection").iterdir()}
    python = og.select(og.open_store(here / "store"), 20, seed=3)
    assert [row["item_id"] for row in rows()] == python.ids.tolist()
    table = pq.read_table("selection/selected.parquet")
    assert table["weight"].to_pylist() == python.weights.tolist()


def test_run_json_tells_how_it_was_made(here):
    out, err = run("select", "store", *ARGS, "--json")
    printed, run_file = json.loads(out), json.loads((here / "selection/run.json").read_text())
    assert "Lewis weights of vit" in err
    assert {key: printed[key] for key in run_file} == run_file
    request = run_file["request"]
    assert request["seed"] == 3
    assert request["budget"] == "20"
    assert request["backbones"] == ["vit", "cnn"]
    assert request["input_hash"] == og.open_store(here / "store").content_hash()
    assert request["params"]["sampler"] == "bernoulli"
    assert run_file["oneglance"] == og.__version__
    assert run_file["build"]["isa_active"]
    assert run_file["certificate"]["backbones"]["vit"]["converged"] is True
    assert run_file["n_picked"] == 20


def test_lists_of_items(here):
    run("select", "store", *ARGS, "--labelled", "done.txt", "--exclude", "rows.csv")
    picked = {row["item_id"] for row in rows()}
    assert not picked & {"img00.jpg", "img01.jpg", "img05.jpg", "img06.jpg"}
    counts = json.loads((here / "selection/run.json").read_text())["certificate"]
    assert (counts["n_labelled"], counts["n_excluded"], counts["n_candidates"]) == (2, 2, 96)
    run("select", "store", *ARGS, "--labelled", "selection/selected.csv", "--out", "second")
    assert not picked & {row["item_id"] for row in rows("second/selected.csv")}
    run("select", "store", *ARGS, "--labelled", "selection/selected.parquet", "--out", "third")
    assert rows("third/selected.csv") == rows("second/selected.csv")


def test_ids_may_begin_with_a_blank(here):
    np.savez(
        here / "blanks.npz",
        id=np.array([" a", "a", *map(str, range(18))]),
        v=np.random.default_rng(0).normal(size=(20, 3)),
    )
    (here / "taken.txt").write_text(" a\n  3\n")  # the first as it is; no item is called "  3"
    run(
        "select", "blanks.npz", "--id-column", "id", "--budget", "18", "--labelled", "taken.txt", "--strategy", "random"
    )
    assert {row["item_id"] for row in rows()} == {"a", *map(str, range(18))} - {"3"}


def test_percent_strata_and_quotas(here):
    run("select", "store", "--budget", "25%", "--strata", "stratum")
    assert sum(row["stratum"] == "night" for row in rows()) == 5
    run("select", "store", "--budget", "25%", "--strata", "stratum", "--quota", "night=15", "--out", "q")
    assert sum(row["stratum"] == "night" for row in rows("q/selected.csv")) == 15
    lines = [f"img{i:02d}.jpg,{'odd' if i % 2 else 'even'}" for i in range(100)]
    (here / "parity.csv").write_text("\n".join(["item_id,parity", *lines]))
    run("select", "store", "--budget", "10", "--strata", "parity.csv", "--out", "p")
    assert sorted(row["stratum"] for row in rows("p/selected.csv")) == ["even"] * 5 + ["odd"] * 5


def test_ready_vectors(here):
    run("select", "vit.npy", "cnn.npy", *ARGS, "--out", "npy")
    want = [row["row_id"] for row in rows("npy/selected.csv")]
    run("select", "store", *ARGS, "--out", "from-store")
    assert [row["row_id"] for row in rows("from-store/selected.csv")] == want
    run("select", "vectors.parquet", *ARGS, "--id-column", "item", "--out", "parquet")
    assert [row["row_id"] for row in rows("parquet/selected.csv")] == want
    assert rows("parquet/selected.csv")[0]["item_id"].startswith("img")
    run("select", "both.npz", *ARGS, "--vector-column", "train", "--id-column", "names", "--out", "npz")
    run("select", "vit.npy", *ARGS, "--out", "alone")
    assert [r["row_id"] for r in rows("npz/selected.csv")] == [r["row_id"] for r in rows("alone/selected.csv")]
    run("select", "store", *ARGS, "--backbones", "vit", "--out", "vit")
    assert [r["row_id"] for r in rows("vit/selected.csv")] == [r["row_id"] for r in rows("alone/selected.csv")]


def test_bad_rows_are_left_out_and_counted(here):
    vectors = np.load("vit.npy")
    vectors[3], vectors[8] = np.nan, 0
    np.save("bad.npy", vectors)
    out, err = run("select", "bad.npy", "--budget", "98")
    assert "2 of 100 items cannot be used and are left out (row 3: " in err
    assert "all zero" in err
    assert "selected 98 of 98 items" in out
    _, err = run("select", "bad.npy", "--budget", "99", "--out", "x", code=2)
    assert "budget is 99, but only 98 items are available (100 in the pool, 2 invalid)" in err


def test_dry_run_writes_nothing(here):
    before = sorted(path.name for path in here.iterdir())
    out, _ = run("select", "store", "--budget", "2%", "--dry-run")
    for word in ("items", "to label", "backbone vit", "passes", "memory", "disk", "time"):
        assert word in out
    plan = json.loads(run("select", "store", "--budget", "2%", "--dry-run", "--json")[0])["plan"]
    assert plan["n_items"] == 100
    assert plan["n_picks"] == 2
    assert plan["backbones"]["cnn"]["d"] == 8
    assert before == sorted(path.name for path in here.iterdir())


def test_another_run_is_not_overwritten_by_accident(here):
    run("select", "store", *ARGS)
    before = (here / "selection/run.json").read_bytes()
    _, err = run("select", "store", "--budget", "21", code=2)
    assert "--out selection holds another run (different: budget, seed)" in err
    assert "--overwrite" in err
    assert (here / "selection/run.json").read_bytes() == before
    run("select", "store", "--budget", "21", "--overwrite")
    assert len(rows()) == 21
    (here / "mine").mkdir()
    (here / "mine/selected.csv").write_text("precious")
    _, err = run("select", "store", *ARGS, "--out", "mine", code=2)
    assert "holds selected.csv without run.json: it may be somebody else's" in err
    assert (here / "mine/selected.csv").read_text() == "precious"


def test_other_strategy_and_sampler(here):
    run("select", "store", *ARGS, "--strategy", "random", "--out", "r")
    assert {row["weight"] for row in rows("r/selected.csv")} == {"5.0"}
    _, err = run("select", "store", *ARGS, "--strategy", "random", "--p", "1", code=2)
    assert "--p has no meaning with --strategy random" in err
    run("select", "store", *ARGS, "--sampler", "pivotal", "--out", "spread")
    assert json.loads((here / "spread/run.json").read_text())["request"]["params"]["sampler"] == "pivotal"
    run("select", "store", *ARGS, "--sampler", "paper", "--p", "1.5", "--combine", "mean", "--out", "p")
    assert json.loads((here / "p/run.json").read_text())["certificate"]["n_draws"] >= 20


def test_not_converged_is_said(here):
    out, err = run("select", "store", *ARGS, "--p", "1", "--max-passes", "2")
    assert 'warning: Lewis weights of backbone "vit" stopped after 2 passes' in err
    assert "NOT CONVERGED" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["store", "--budget", "0"], "budget must be at least 1, got 0; 100 items are available"),
        (["store", "--budget", "101"], "budget is 101, but only 100 items are available"),
        (["store", "--budget", "150%"], "at most 100%, got 150%"),
        (["store", "--budget", "5", "--p", "0"], "p must be a finite number > 0, got 0"),
        (["store"], "Missing option '--budget'"),
        (["nowhere", "--budget", "5"], "nowhere does not exist. Give a feature store"),
        (["done.txt", "--budget", "5"], "must be one feature store, .npy/.npz files, or one .parquet file"),
        (["store", "--budget", "5", "--labelled", "rows.csv", "--backbones", "x"], "backbones must be among"),
        (["store", "--budget", "5", "--labelled", "absent.txt"], "'absent.txt' does not exist"),
        (["vit.npy", "--budget", "5", "--labelled", "done.txt"], "must hold row positions (whole numbers)"),
        (["store", "--budget", "5", "--strata", "weather"], "column 'weather'"),
        (["store", "--budget", "5", "--quota", "night"], "must be STRATUM=COUNT like night=100"),
        (["store", "--budget", "5", "--out", "done.txt"], "--out done.txt is a file, a folder is needed"),
        (["both.npz", "--budget", "5"], "same number of rows"),
    ],
)
def test_mistakes_exit_with_2_and_say_the_cure(here, args, words):
    out, err = run("select", *args, code=2)
    assert words in err, err
    assert out == ""
    assert "Traceback" not in err
    assert not (here / "selection").exists()


def test_unknown_ids_are_named(here):
    (here / "wrong.csv").write_text("item_id\nimg00.jpg\nnope.jpg\n")
    _, err = run("select", "store", "--budget", "5", "--exclude", "wrong.csv", code=2)
    assert "exclude: 1 of 2 ids is not in the store" in err
    assert "'nope.jpg'" in err
    (here / "strange.csv").write_text("a,b\n1,2\n")
    _, err = run("select", "store", "--budget", "5", "--exclude", "strange.csv", code=2)
    assert "has the columns ['a', 'b']; one must be called item_id, id or row_id" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(here):
    (here / "locked").mkdir(mode=0o500)
    _, err = run("select", "store", *ARGS, "--out", "locked/run", code=2)
    assert "cannot write in" in err
    assert "(Permission denied). Choose another folder" in err


def test_read_only_disk(here, monkeypatch):
    def refuse(**kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    result = CliRunner().invoke(select, ["store", *ARGS, "--out", "a/b"])
    assert isinstance(result.exception, InvalidInput)
    assert "--out a/b: cannot write in" in str(result.exception)
    assert "(Read-only file system). Choose another folder." in str(result.exception)
    assert not (here / "a").exists()


def test_item_lists_are_counted_aloud(here):
    (here / "none.txt").write_text("")
    _, err = run("select", "store", *ARGS, "--labelled", "done.txt", "--exclude", "none.txt")
    assert "--labelled: 2 items in done.txt\n" in err
    assert "--exclude: 0 items in none.txt. The file names none\n" in err


def test_lists_that_contradict_themselves_or_hold_no_rows(here):
    (here / "twice.csv").write_text("item_id,stratum\nimg00.jpg,a\nimg00.jpg,b\n")
    _, err = run("select", "store", *ARGS, "--strata", "twice.csv", code=2)
    assert "--strata: twice.csv puts the item 'img00.jpg' into 'a' and 'b'. Keep one of the lines." in err
    (here / "words.csv").write_text("row_id\nimg00.jpg\n")
    _, err = run("select", "store", *ARGS, "--labelled", "words.csv", code=2)
    assert "the column row_id of words.csv must hold whole numbers, got 'img00.jpg'. To give names call" in err


def test_mistakes_are_told_before_the_folder_and_before_any_work(here):
    run("select", "store", *ARGS)
    _, err = run("select", "store", "--budget", "-3", code=2)
    assert err == "error: budget must be at least 1, got -3; 100 items are available.\n"
    _, err = run("select", "store", "--budget", "3", "--p", "0", "--out", "other", code=2)
    assert err == "error: p must be a finite number > 0, got 0.\n"


def test_strata_that_get_nothing_are_said_and_long_tables_cut(here):
    (here / "own.csv").write_text("item_id,stratum\n" + "".join(f"img{i:02d}.jpg,s{i:02d}\n" for i in range(100)))
    out, err = run("select", "store", *ARGS, "--strata", "own.csv")
    assert "warning: 80 of 100 strata get no pick, because the budget is too small: 's20', 's21'" in err
    assert "... and 80 more strata, see run.json" in out


def test_a_damaged_row_of_a_store_is_left_out(here):
    shard = np.load("store/features/vit/00000.npy", mmap_mode="r+")
    shard[7] = np.nan
    shard.flush()
    _, err = run("select", "store", *ARGS)
    assert 'warning: features have NaN or infinity under backbone "vit" in 1 row: 7.' in err
    assert json.loads((here / "selection/run.json").read_text())["certificate"]["n_invalid"] == 1
    out, err = run("weights", "store")
    assert "weights of 99 items" in out
    assert "--verify" in err
    assert pq.read_table("weights.parquet")["max"].to_pylist()[7] is None


def test_large_vectors_are_announced(here, monkeypatch):
    monkeypatch.setattr("oneglance.cli.inputs._LARGE", 100)
    _, err = run("select", "vit.npy", *ARGS)
    assert err.startswith("hashing and checking 2.1 kB of vectors ...\n")


def test_unknown_verb(here):
    assert "no such verb: 'selct'. Did you mean 'select'?" in run("selct", code=2)[1]
    assert f"The verbs are {', '.join(VERBS)}." in run("xyz", code=2)[1]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_80_columns(verb):
    text = CliRunner().invoke(cli, [verb, "--help"] if verb else ["--help"], terminal_width=80).output
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert not verb or "Usage: " in text


def test_lines_for_people_are_wrapped_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    say("word " * 40)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80


def test_notes_are_wrapped_on_a_terminal_only(capsys, monkeypatch):
    note("word " * 40)
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    note("word " * 40)
    assert max(map(len, capsys.readouterr().err.splitlines())) <= 80


def test_verify_notices_damage_that_looks_like_features(here):
    shard = np.load("store/features/vit/00000.npy", mmap_mode="r+")
    shard[7] += 1
    shard.flush()
    run("select", "store", *ARGS, "--out", "unnoticed")
    for verb in (["select", "store", *ARGS], ["weights", "store"]):
        _, err = run(*verb, "--verify", code=2)
        assert '00000.npy of backbone "vit" has another content than its hash says.' in err
        assert "Re-run embed for that backbone with verify=True / --verify." in err
