"""`oneglance audit` and `oneglance select --audit` from the outside."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import run
from PIL import Image

import oneglance as og
from oneglance.cli.audit import audit as command


@pytest.fixture
def vectors(tmp_path, monkeypatch):
    """vit.npy: 240 rows around 6 centres; row 5 repeats 4, 6 is NaN. test.npy: 60 more, 3 of them in vit.npy."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    centers = 6 * rng.normal(size=(6, 20))
    x, y = (centers[np.arange(n) % 6] + rng.normal(size=(n, 20)) for n in (240, 60))
    x[5], x[6], y[:3] = x[4], np.nan, x[20:23]
    np.save("vit.npy", x.astype(np.float32))
    np.save("test.npy", y.astype(np.float32))
    np.save("wide.npy", y[:, :3])
    (tmp_path / "b").mkdir()
    for name in ("site.csv", "b/site.csv"):
        (tmp_path / name).write_text("row_id,site\n1,left\n2,right\n")
    return tmp_path


def test_audit_of_vectors_then_select(vectors):
    out, err = run("audit", "vit.npy", "--near", "0.999", "--permutations", "199")
    assert "error: 1 row of vit with NaN." in out
    assert "warning: 2 rows in 1 group of vit are identical." in out
    assert "2 items to leave out: oneglance select ... --audit audit" in out
    assert "Backbones on this pool" in out
    assert "features of vit: 240 x 20" in err
    document = json.loads((vectors / "audit" / "audit.json").read_text())
    assert document["request"]["command"] == "audit"
    assert document["leave_out"] == {"missing values (vit)": 1, "exact duplicates (vit)": 1}
    _, err = run("select", "vit.npy", "--budget", "200", "--strategy", "random", "--audit", "audit")
    assert "--audit: 2 items left out: 1 missing values (vit), 1 exact duplicates (vit)" in err
    chosen = pq.read_table("selection/selected.parquet")["row_id"].to_pylist()
    assert not {5, 6} & set(chosen)
    told = json.loads((vectors / "selection" / "run.json").read_text())
    assert told["request"]["audit"] == "audit"
    assert told["certificate"]["n_excluded"] == 2
    everything = 240 - 2
    _, err = run("select", "vit.npy", "--budget", everything + 1, "--audit", "audit", "--overwrite", code=2)
    assert "2 excluded" in err
    (vectors / "bad.txt").write_text("5\n100\n")
    _, err = run("select", "vit.npy", "--budget", "9", "--audit", "audit", "--exclude", "bad.txt", "--out", "s2")
    assert json.loads((vectors / "s2" / "run.json").read_text())["certificate"]["n_excluded"] == 3


def test_two_files_of_one_backbone_each_are_compared(vectors):
    args = ("audit", "vit.npy", "--against", "test.npy", "--near", "0.999", "--permutations", "199")
    out, err = run(*args, "--fail-on", "error", code=3)
    assert "error: 3 items of the second pool have the features of one under vit of the first." in out
    assert "2 findings with --fail-on error" in err
    run(*args, "--overwrite", "--fail-on", "error", code=3)
    out, _ = run("audit", "vit.npy", "--against", "vit.npy", "--out", "self", "--sample-rows", "100")
    assert "239 items of the second pool have the features of one" in out


def test_leakage_between_files_of_one_name(vectors):
    (vectors / "t").mkdir()
    np.save("t/vit.npy", np.load("test.npy"))
    np.save("clean.npy", np.delete(np.load("vit.npy"), [5, 6], axis=0))
    (vectors / "c").mkdir()
    np.save("c/vit.npy", np.load("clean.npy"))
    out, err = run("audit", "c/vit.npy", "--against", "t/vit.npy", "--near", "0.999", "--permutations", "199",
                   "--fail-on", "error", code=3)  # fmt: skip
    assert "error: 3 items of the second pool have the features of one under vit of the first." in out
    assert "Shift" in out
    assert "1 finding with --fail-on error, the first: 3 items of the second pool" in err
    rows = pq.read_table("audit/findings.parquet").to_pylist()
    leaked = [row["row_id"] for row in rows if row["check"] == "leakage" and row["pool"] == "against"]
    assert leaked == [0, 1, 2]
    out, _ = run("audit", "c/vit.npy", "--against", "t/vit.npy", "--near", "0.999", "--permutations", "199", "--json")
    assert json.loads(out)["n_against"] == 60
    _, err = run("audit", "c/vit.npy", "--near", "0.99", code=2)
    assert "--out audit holds something else (different:" in err
    assert "near" in err
    run("audit", "c/vit.npy", "--near", "0.99", "--overwrite")


def test_pictures_a_store_and_both(tmp_path, monkeypatch, make_pictures):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "photos", 40, size=24)
    (tmp_path / "photos" / "003.png").write_bytes(b"")
    (tmp_path / "photos" / "004.png").write_bytes((tmp_path / "photos" / "005.png").read_bytes())
    out, _ = run("audit", "photos", "--workers", "0", "--out", "p")
    assert "error: 1 picture cannot be decoded: 1 x empty file (0 bytes)." in out
    table = tmp_path / "vectors.csv"
    table.write_text("path\n" + "".join(f"photos/{i:03d}.png\n" for i in range(40)))
    out, _ = run("audit", "vectors.csv", "--workers", "0", "--out", "l", "--json")
    assert json.loads(out)["leave_out"] == {"unreadable (pictures)": 1, "exact duplicates (pictures)": 1}
    ids = np.array([f"{i:03d}.png" for i in range(40)])
    rng = np.random.default_rng(0)
    np.savez("x.npz", x=rng.normal(size=(40, 6)), ids=ids, site=np.array(["a", "b"] * 20))
    og.embed("x.npz", None, "store", vector_columns=("x",), id_column="ids", stratum_column="site")
    out, _ = run("audit", "store", "--pictures", "photos", "--workers", "0", "--labels", "stratum", "--out", "both")
    assert "Backbones for these labels" in out
    _, err = run("select", "store", "--budget", "38", "--strategy", "random", "--audit", "both")
    assert "1 unreadable (pictures), 1 exact duplicates (pictures)" in err
    _, err = run("select", "store", "--budget", "30", "--strategy", "random", "--audit", "p", "--out", "s2")
    assert "--audit: p is of image folder photos, another input than this one; items go by their ids" in err


def test_store_with_invalid_items(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[7] = np.nan
    og.embed(x, None, "store")
    out, _ = run("audit", "store", "--json")
    assert json.loads(out)["findings"][0]["what"] == "1 item could not be embedded."
    detail = pq.read_table("audit/findings.parquet").to_pylist()[0]["detail"]
    assert detail == 'backbone "vectors": features are not finite'


def test_an_audit_of_another_input(vectors):
    """By positions only where there are as many; by ids what is there, and no repeat whose first one is elsewhere."""
    x = np.random.default_rng(1).normal(size=(40, 8))
    x[4], x[9], x[20] = np.nan, x[8], x[10]
    ids = np.array([f"p{i}" for i in range(40)])
    np.savez("all.npz", x=x, ids=ids)
    np.save("bare.npy", x)
    np.save("short.npy", x[:30])
    np.savez("part.npz", x=x[9:30], ids=ids[9:30])
    run("audit", "all.npz", "--vector-column", "x", "--id-column", "ids", "--out", "named")
    table = pq.read_table("named/findings.parquet").to_pylist()
    assert {row["item_id"]: row["kept_id"] for row in table if row["drop"]} == {"p4": None, "p9": "p8", "p20": "p10"}
    _, err = run("select", "short.npy", "--budget", "5", "--audit", "named", code=2)
    assert "is of all.npz with 40 items, this input has 30, and without ids in both" in err
    _, err = run("select", "bare.npy", "--budget", "5", "--audit", "named")
    assert "another input than this one; items go by their positions" in err
    assert "--audit: 3 items left out" in err
    part = ("select", "part.npz", "--vector-column", "x", "--id-column", "ids", "--strategy", "random")
    _, err = run(*part, "--budget", "20", "--audit", "named", "--out", "s2")
    assert "--audit: 1 further item of its list not in this input" in err
    assert "--audit: 1 item left out: 1 exact duplicates (all)" in err
    chosen = pq.read_table("s2/selected.parquet")["item_id"].to_pylist()
    assert set(ids[9:30]) - set(chosen) == {"p20"}
    run("audit", "bare.npy", "--out", "positions")
    _, err = run("select", "all.npz", "--vector-column", "x", "--id-column", "ids", "--budget", "5", "--strategy",
                 "random", "--audit", "positions", "--out", "s3")  # fmt: skip
    assert "--audit: 3 items left out" in err
    (vectors / "done.csv").write_text("item_id\np9\n")  # repeats p8, which would be labelled once more
    whole = (
        "select",
        "all.npz",
        "--vector-column",
        "x",
        "--id-column",
        "ids",
        "--strategy",
        "random",
        "--budget",
        "36",
    )
    _, err = run(*whole, "--audit", "named", "--labelled", "done.csv", "--out", "s4")
    assert "1 repeats of labelled items" in err
    assert set(ids) - set(pq.read_table("s4/selected.parquet")["item_id"].to_pylist()) == {"p4", "p8", "p9", "p20"}
    np.save("clean.npy", x[10:20])
    run("audit", "clean.npy", "--out", "clean")
    _, err = run("select", "bare.npy", "--budget", "5", "--audit", "clean", "--out", "s5")
    assert "--audit: 0 items left out" in err
    (vectors / "named" / "audit.json").write_text("{")
    _, err = run("select", "bare.npy", "--budget", "5", "--audit", "named", code=2)
    assert "holds a damaged or older audit.json. Make it again with `oneglance audit ... --overwrite`" in err


def test_a_column_from_a_file(vectors):
    lines = [f"{row},{'left' if row % 6 < 3 else 'right'}" for row in range(240)]
    (vectors / "camera.csv").write_text("\n".join(["row_id,camera", *lines]))
    out, _ = run("audit", "vit.npy", "--column", "camera.csv", "--near", "0.999")
    assert "warning: Clusters of vit go together with the column camera." in out


def test_dry_run_writes_nothing(vectors):
    out, _ = run("audit", "vit.npy", "--dry-run")
    assert "up to 28 per backbone" in out
    assert "beyond the features" in out
    plan = json.loads(run("audit", "vit.npy", "--dry-run", "--json")[0])["plan"]
    assert plan["n_items"] == 240
    assert plan["backbones"] == {"vit": {"d": 20, "dtype": "float32"}}
    assert not (vectors / "audit").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("audit", "vit.npy", "--near", "1.0"), "near is a cosine below 1, got 1. Rows that are equal are always"),
        (("audit", "vit.npy", "--pictures", "vit.npy"), "pictures= / --pictures: vectors vit.npy holds no pictures."),
        (("audit", "vit.npy", "test.npy", "--against", "test.npy"), "all backbones must have the same number of rows"),
        (("audit", "vit.npy", "--against", "wide.npy"), 'against: backbone "vit" has 3 columns there and 20 here.'),
        (("audit", "vit.npy", "--labels", "kind"), "--labels: 'kind' is neither a column of vit.npy"),
        (("audit", "vit.npy", "--column", "test.npy"), "--column: test.npy must be a .txt, .csv,"),
        (("audit", "vit.npy", "--column", "site.csv", "--column", "b/site.csv"), "there is another column called site"),
        (("audit", "nothing.npy"), "nothing.npy does not exist"),
        (("select", "vit.npy", "--budget", "5", "--audit", "."), "--audit . holds no finished audit"),
    ],
)
def test_messages(vectors, args, words):
    _, err = run(*args, code=2)
    assert words in err
    assert not (vectors / "audit").exists()


def test_help_fits_and_says_which_input():
    from click.testing import CliRunner

    text = CliRunner().invoke(command, ["--help"]).output
    assert max(map(len, text.splitlines())) <= 80
    assert "Every finding says what, where, how bad, and what to do." in " ".join(text.split())


def test_ids_that_look_like_positions_are_ids(tmp_path, monkeypatch):
    """The pool in another order: items go by their ids, which were row numbers when they were audited."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12)).astype(np.float32)
    x[150:152] = x[50:52]
    order = rng.permutation(200)
    for name, rows in (("u1", np.arange(200)), ("u2", order), ("u3", np.arange(100, 200))):
        np.savez(f"{name}.npz", x=x[rows], ids=np.array([str(row) for row in rows]))
    named = ("--vector-column", "x", "--id-column", "ids")
    run("audit", "u1.npz", *named, "--out", "u1a")
    for name, n_left in (("u2", 198), ("u3", 100)):
        picked = ("--budget", "100%", "--strategy", "random", "--audit", "u1a", "--out", name)
        _, err = run("select", f"{name}.npz", *named, *picked)
        assert "items go by their ids" in err
        found = set(pq.read_table(f"{name}/selected.parquet")["item_id"].to_pylist())
        assert len(found) == n_left
        assert {"150", "151"}.isdisjoint(found) == (name == "u2"), "in u3 nothing stands for them"


def test_lists_of_pictures_have_ids_of_their_column(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = ["item_id,file"]
    for k in range(30):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
        rows.append(f"name{k},{k}.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes())
    (tmp_path / "list.csv").write_text("\n".join(rows))
    np.savez("x.npz", x=rng.normal(size=(30, 6)), ids=np.array([f"name{k}" for k in range(30)]))
    run("audit", "list.csv", "--path-column", "file", "--id-column", "item_id", "--out", "a")
    found = pq.read_table("a/findings.parquet").to_pylist()
    assert [row["item_id"] for row in found if row["check"] == "exact duplicates"] == ["name2", "name3"]
    both = ("--pictures", "list.csv", "--path-column", "file", "--id-column", "ids")
    _, err = run("audit", "x.npz", "--vector-column", "x", *both, "--out", "b", code=2)
    assert "'0.png'" in err, "without that column paths are the ids"
    (tmp_path / "list.csv").write_text("\n".join(rows).replace("item_id", "ids"))
    run("audit", "x.npz", "--vector-column", "x", *both, "--out", "b")
    _, err = run("audit", "list.csv", "--path-column", "file", "--id-column", "nonsense", "--out", "c", code=2)
    assert "nonsense" in err


def test_a_folder_that_a_killed_run_left_is_taken_again(vectors):
    run("audit", "vit.npy", "--out", "a")
    (vectors / "a" / "audit.json").unlink()
    run("audit", "test.npy", "--out", "a")
    (vectors / "a" / "audit.json").unlink()
    (vectors / "a" / "mine.txt").touch()
    _, err = run("audit", "vit.npy", "--out", "a", code=2)
    assert "holds something else" in err
