"""`oneglance adapt heads` and `adapt predict` from the outside."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from command_line import run

import oneglance as og
from oneglance.adapt.item_files import read_labels
from oneglance.adapt.predictions import predictions_of
from oneglance.adapt.uncertainty import uncertainty_of
from oneglance.cli.main import cli
from oneglance.errors import InvalidInput
from oneglance.strategies.pool import Pool

pytest.importorskip("safetensors", reason="heads are saved as safetensors")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """150 items of three classes under two backbones, and the run that picked 30 of them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, 150)
    arrays = {
        "vit": (rng.standard_normal((3, 6)) * 3)[kind] + rng.standard_normal((150, 6)),
        "cnn": (rng.standard_normal((3, 9)) * 2)[kind] + rng.standard_normal((150, 9)),
    }
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    run("select", "vit.npy", "cnn.npy", "--budget", "30", "--out", "batch")
    with open("batch/selected.csv", newline="") as file:
        picks = list(csv.DictReader(file))
    write_labels("done.csv", [{**pick, "label": "abc"[kind[int(pick["row_id"])]]} for pick in picks])
    return arrays, kind, np.array([int(pick["row_id"]) for pick in picks])


def write_labels(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


BOTH = ("vit.npy", "cnn.npy")


def test_labels_of_picks_become_predictions_and_the_next_batch(pool):
    arrays, kind, picks = pool
    out, _ = run("adapt", "heads", *BOTH, "--labels", "done.csv", "--selection", "batch")
    assert "held-out log loss" in out
    assert "heads of vit, cnn from 30 labels -> heads" in out
    weights = pq.read_table("batch/selected.parquet")["weight"].to_numpy()
    names = np.array(list("abc"))[kind[picks]]
    want = og.fit_heads(arrays, names, picks, weights=weights)
    found = og.load_heads("heads")
    for name in arrays:
        assert found[name].arrays["coef"].tobytes() == want[name].arrays["coef"].tobytes()
        assert found[name].temperature == want[name].temperature
    out, _ = run("adapt", "predict", *BOTH)
    assert "least certain" in out
    table = pq.read_table("predictions.parquet")
    assert table.column_names == ["row_id", "item_id", "prediction", "probability", "priority", "vit", "cnn"]
    assert table["prediction"].to_pylist() == want.predict_ensemble(arrays).tolist()
    assert table["cnn"].to_pylist() == want.predict(arrays)["cnn"].tolist()
    np.testing.assert_array_equal(table["probability"].to_numpy(), want.ensemble(arrays).max(axis=1))
    np.testing.assert_array_equal(table["priority"].to_numpy(), want.uncertainty(arrays))
    assert (np.array(table["prediction"].to_pylist()) == np.array(list("abc"))[kind]).mean() > 0.8
    run("select", *BOTH, "--budget", "5", "--priority", "predictions.parquet", "--labelled", "done.csv", "--out", "two")
    again = pq.read_table("two/selected.parquet")["row_id"].to_pylist()
    assert not set(again) & set(picks.tolist())


def test_same_command_same_files_and_overwrite(pool, tmp_path):
    ask = ("adapt", "heads", *BOTH, "--labels", "done.csv", "--selection", "batch", "--lambdas", "1e-3,1e-2")
    run(*ask)
    before = {path.name: path.read_bytes() for path in (tmp_path / "heads").iterdir()}
    assert set(before) == {"heads.safetensors", "heads.json", "run.json"}
    run(*ask)
    assert {path.name: path.read_bytes() for path in (tmp_path / "heads").iterdir()} == before
    _, error = run(*ask, "--equal-weights", code=2)
    assert "--out heads holds another run (different: equal_weights)" in error
    document = json.loads(run(*ask, "--equal-weights", "--overwrite", "--json")[0])
    assert document["n_labelled"] == 30
    assert document["heads"]["vit"]["lambda"] in (1e-3, 1e-2)
    (tmp_path / "heads" / "run.json").unlink()
    assert "heads.safetensors without run.json" in run(*ask, code=2)[1]
    run("adapt", "predict", *BOTH)
    assert (
        "predictions.parquet exists. Choose another name, or add --overwrite"
        in run("adapt", "predict", *BOTH, code=2)[1]
    )


def test_regression_of_several_targets_and_csv(pool, tmp_path):
    arrays, _, _ = pool
    targets = np.stack([arrays["vit"][:, 0], arrays["cnn"][:, 1] ** 2], axis=1)
    targets[100:] = np.nan
    np.save("sizes.npy", targets)
    out, _ = run(
        "adapt", "heads", *BOTH, "--labels", "sizes.npy", "--task", "regression", "--p", "inf", "--ridge", "0.1"
    )
    assert "converged" in out
    assert json.loads((tmp_path / "heads" / "run.json").read_text())["request"]["p"] == "inf"
    document = json.loads(run("adapt", "predict", *BOTH, "--out", "p.csv", "--json", "--top", "3")[0])
    assert len(document["least_certain"]) == 3
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 150
    want = og.fit_heads(arrays, targets, task="regression", p=np.inf, ridge=0.1)
    np.testing.assert_array_equal([float(row["prediction_1"]) for row in rows], want.ensemble(arrays)[:, 1])
    np.testing.assert_array_equal([float(row["priority"]) for row in rows], want.uncertainty(arrays))
    _, told = run("adapt", "predict", *BOTH, "--backbones", "cnn", "--out", "one.csv")
    assert "there is no column priority" in told
    assert "priority" not in (tmp_path / "one.csv").read_text()


def test_a_store_its_bad_items_and_another_store(pool, tmp_path):
    arrays, kind, _ = pool
    broken = arrays["vit"].astype(np.float32)
    broken[7] = np.nan
    np.savez("vit.npz", vit=broken, name=np.array([f"i{i}" for i in range(150)]))
    args = ("vit.npz", "--vector-column", "vit", "--id-column", "name")
    write_labels("names.csv", [{"item_id": f"i{i}", "label": str(kind[i])} for i in range(40) if i != 7])
    _, told = run("adapt", "heads", *args, "--labels", "names.csv", "--head", "knn", "--k", "3")
    assert "1 of 150 items cannot be used" in told
    run("adapt", "predict", *args, "--probabilities")
    table = pq.read_table("predictions.parquet")
    assert table.num_rows == 149
    assert "i7" not in table["item_id"].to_pylist()
    assert {"p_0", "p_1", "p_2"} <= set(table.column_names)
    sums = sum(table[f"p_{k}"].to_numpy() for k in range(3))
    np.testing.assert_allclose(sums, 1.0)
    _, error = run("adapt", "predict", "cnn.npy", "--out", "other.csv", code=2)
    assert 'has no backbone "vit"' in error


def test_a_store_and_ids(pool, tmp_path):
    """A selection found again by its ids from the vectors behind the store, and predictions by id."""
    arrays, kind, _ = pool
    np.savez("vit.npz", vit=arrays["vit"], name=np.array([f"i{i}" for i in range(150)]))
    args = ("--vector-column", "vit", "--id-column", "name")
    run("embed", "vit.npz", "--out", "store", *args)
    run("select", "store", "--budget", "20", "--out", "from-store")
    write_labels("names.csv", [{"item_id": f"i{i}", "label": "abc"[kind[i]]} for i in range(150)])
    run("adapt", "heads", "store", "--labels", "names.csv", "--selection", "from-store")
    request = json.loads((tmp_path / "heads" / "run.json").read_text())["request"]
    assert request["backbones"] == list(og.load_heads("heads"))
    run("adapt", "heads", "vit.npz", *args, "--labels", "names.csv", "--selection", "from-store", "--out", "again")
    one, two = (og.load_heads(folder) for folder in ("heads", "again"))
    (first,), (second,) = one, two
    np.testing.assert_allclose(one[first].arrays["coef"], two[second].arrays["coef"], atol=1e-3)
    run("adapt", "predict", "store", "--out", "p.csv")
    with open("p.csv", newline="") as file:
        assert [row["item_id"] for row in csv.DictReader(file)] == [f"i{i}" for i in range(150)]


def test_dry_runs_write_nothing(pool, tmp_path):
    out, _ = run("adapt", "heads", *BOTH, "--labels", "done.csv", "--dry-run")
    assert "30, and 0 picks without a label" in out
    assert "class a" in out
    assert not (tmp_path / "heads").exists()
    run("adapt", "heads", *BOTH, "--labels", "done.csv")
    plan = json.loads(run("adapt", "predict", *BOTH, "--dry-run", "--json")[0])["plan"]
    assert plan["n_items"] == 150
    assert plan["n_classes"] == 3
    assert not (tmp_path / "predictions.parquet").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("heads", "vit.npy", "--labels", "nothing.csv"), "nothing.csv"),
        (("heads", "vit.npy", "--labels", "kind"), "'kind' is neither a column of"),
        (("heads", "vit.npy", "--labels", "done.csv", "--task", "regression"), "must be numbers for --task regression"),
        (("heads", "vit.npy", "--labels", "done.csv", "--p", "3"), 'p belongs to task="regression"'),
        (("heads", "vit.npy", "--labels", "done.csv", "--selection", "."), "--selection . is no run of"),
        (("heads", "vit.npy", "--labels", "done.csv", "--selection", "batch"), "was made from another pool than"),
        (("heads", "vit.npy", "--labels", "done.csv", "--lambdas", "small"), "--lambdas must be numbers"),
        (("predict", "vit.npy", "--heads", "nowhere"), "no heads at nowhere"),
        (("predikt", "vit.npy"), "Did you mean 'predict'?"),
    ],
)
def test_mistakes_are_told_with_a_cure(pool, args, words):
    assert words in run("adapt", *args, code=2)[1]


def test_labels_outside_the_selection_are_counted(pool):
    _, kind, _ = pool
    np.save("kind.npy", kind)
    _, told = run("adapt", "heads", *BOTH, "--labels", "kind.npy", "--selection", "batch", "--dry-run")
    assert "120 labelled items are no picks of --selection and are left out" in told
    run("adapt", "heads", *BOTH, "--labels", "kind.npy", "--selection", "batch", "--classes", "0,1,2,3")
    assert og.load_heads("heads").classes.tolist() == [0, 1, 2, 3]
    assert not og.load_heads("heads")["vit"].seen[3]


def test_blank_labels_one_class_and_classes_of_numbers(pool):
    _, kind, picks = pool
    write_labels("some.csv", [{"row_id": row, "label": "abc"[i] if i < 3 else " "} for i, row in enumerate(picks)])
    out, told = run("adapt", "heads", *BOTH, "--labels", "some.csv")
    assert "heads of vit, cnn from 3 labels" in out
    assert "one class" not in told
    write_labels("one.csv", [{"row_id": row, "label": "a"} for row in picks])
    _, told = run("adapt", "heads", *BOTH, "--labels", "one.csv", "--out", "one")
    assert "all labels are 'a': heads that know one class predict it everywhere" in told
    np.save("kind.npy", np.where(np.arange(150) < 90, kind, np.nan))
    run("adapt", "heads", *BOTH, "--labels", "kind.npy", "--classes", "0,1,2,3", "--out", "numbers")
    assert og.load_heads("numbers").classes.tolist() == [0.0, 1.0, 2.0, 3.0]
    words = run("adapt", "heads", *BOTH, "--labels", "kind.npy", "--classes", "0,b", "--out", "no", code=2)[1]
    assert "--classes must be numbers, as --labels are" in words


def test_names_go_before_positions_in_a_list_of_labels(tmp_path):
    """selected.csv has both, and positions are those of the pool it was made from."""
    write_labels(tmp_path / "done.csv", [{"rank": 0, "row_id": 0, "item_id": "b", "label": "cat"}])
    pool = Pool({}, np.ones(3, dtype=bool), np.array(["a", "b", "c"], dtype=object))
    assert read_labels(str(tmp_path / "done.csv"), pool, "--labels").tolist() == [None, "cat", None]
    nameless = Pool({}, np.ones(3, dtype=bool))
    assert read_labels(str(tmp_path / "done.csv"), nameless, "--labels").tolist() == ["cat", None, None]


def test_uncertainty_by_hand():
    sure, even = np.array([[1.0, 0.0, 0.0]]), np.full((1, 3), 1 / 3)
    assert uncertainty_of([sure], "entropy")[0] == 0
    assert uncertainty_of([even, even], "entropy")[0] == pytest.approx(1)
    assert uncertainty_of([even, even], "disagreement")[0] == pytest.approx(0, abs=1e-12)
    other = np.array([[0.0, 1.0, 0.0]])
    assert uncertainty_of([sure, other], "disagreement")[0] == pytest.approx(1)
    assert uncertainty_of([np.array([[0.6, 0.3, 0.1]])], "margin")[0] == pytest.approx(0.7)
    assert uncertainty_of([np.ones((4, 1))], "entropy").tolist() == [0, 0, 0, 0]
    with pytest.raises(InvalidInput, match="disagreement"):
        uncertainty_of([sure], "disagreement")
    with pytest.raises(InvalidInput, match="kind must be one of"):
        uncertainty_of([sure], "doubt")


def test_panels_do_not_matter(pool, monkeypatch):
    arrays, kind, picks = pool
    heads = og.fit_heads(arrays, kind[picks], picks)
    whole = predictions_of(heads, arrays, probabilities=True).to_table()
    monkeypatch.setattr("oneglance.adapt.predictions._PANEL", 64)
    parts = predictions_of(heads, arrays, probabilities=True).to_table()
    assert parts.column_names == whole.column_names
    for name in whole.column_names:
        if name in ("probability", "priority") or name.startswith("p_"):
            np.testing.assert_allclose(parts[name].to_numpy(), whole[name].to_numpy(), rtol=1e-9, atol=1e-12)
        else:
            assert parts[name].equals(whole[name])
    none = predictions_of(heads, arrays, rows=[])
    assert none.to_table().num_rows == 0


@pytest.mark.parametrize("verb", ["finetune", "heads", "masks", "predict"])
def test_help_fits_a_terminal(verb):
    shown = CliRunner().invoke(cli, ["adapt", verb, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert "heads" in CliRunner().invoke(cli, ["adapt", "-h"]).output
