"""`select(device=)` streams features through a device and picks what the CPU picks; doors say what is wrong."""

import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow.parquet import read_table

import oneglance as og
from oneglance.cli.main import cli
from oneglance.cuda import arithmetic, passes
from oneglance.strategies import lewis


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    return rng.normal(size=(300, 12)).astype(np.float32) * rng.standard_t(3, size=(300, 1)).astype(np.float32)


@pytest.mark.parametrize("strategy", ["lewis", "kmeans", "typiclust"])
def test_picks_are_the_cpus(device, rows, strategy, monkeypatch):
    monkeypatch.setattr(arithmetic, "SMALL_WORK", 0)
    monkeypatch.setattr(passes, "PANEL_BYTES", 1 << 14)
    here, there = og.select(rows, 20, strategy, seed=1), og.select(rows, 20, strategy, seed=1, device="cuda")
    assert np.array_equal(here.indices, there.indices)
    np.testing.assert_allclose(there.weights, here.weights, rtol=1e-4)
    assert there.certificate["device"] == "cuda"
    assert "device" not in here.certificate
    if strategy == "lewis":
        (evidence,) = there.certificate["backbones"].values()
        assert evidence["precision"] in ("float32", "3xtf32")


def test_the_device_ends_with_the_call(device, rows):
    og.select(rows, 5, device="cuda")
    assert og.lewis_weights(rows).precision == "float64"
    assert isinstance(og.nearest(rows, rows).indices, np.ndarray)


def test_devices_that_are_not_there_are_named(rows):
    for wrong in ("gpu", "cuda:x", 0):
        with pytest.raises(og.InvalidInput, match='device must be "cpu", "cuda", "cuda:0", ... or "auto"'):
            og.select(rows, 5, device=wrong)
    assert og.select(rows, 5, device="auto").indices.size == 5


def assert_same_runs(here, there):
    """Equal tables of runs up to seconds, and to losses with weights that are a little different."""
    assert here.num_rows == there.num_rows > 0
    for name in here.column_names:
        if here.schema.field(name).type == "double" and not name.endswith("_s"):
            np.testing.assert_allclose(there[name], here[name], rtol=1e-4, err_msg=name)
        elif not name.endswith("_s"):
            assert here[name].equals(there[name]), name


@pytest.mark.parametrize("ask", [og.evaluate, og.evaluate_one_shot])
def test_evaluations_score_the_cpus_picks(device, rows, ask, monkeypatch):
    monkeypatch.setattr(arithmetic, "SMALL_WORK", 0)
    precisions = []

    def spied(*args, **asked):
        found = og.lewis_weights(*args, **asked)
        precisions.append(found.precision)
        return found

    monkeypatch.setattr(lewis, "lewis_weights", spied)
    asked = {"strategies": ["lewis"], "budgets": [30], "seeds": 3, "splits": 1}
    classes = np.repeat(np.arange(3), 100)
    here = ask(rows, classes, **asked)
    assert set(precisions) <= {"float64", "probed"}, precisions
    precisions.clear()
    there = ask(rows, classes, **asked, device="cuda")
    assert {"float32", "3xtf32"} & set(precisions), precisions
    assert_same_runs(here.to_table(), there.to_table())
    og.select(rows, 5)
    assert precisions.pop() not in ("float32", "3xtf32")  # the device ends with the call


def test_weights_and_evaluate_take_a_device_on_the_command_line(device, rows, tmp_path):
    np.savez(tmp_path / "pool.npz", features=rows)
    np.save(tmp_path / "classes.npy", np.repeat(np.arange(3), 100))
    pool, run = [str(tmp_path / "pool.npz"), "--vector-column", "features"], CliRunner().invoke
    for where in ("cpu", "cuda"):
        found = run(cli, ["weights", *pool, "--device", where, "--out", str(tmp_path / f"{where}.parquet")])
        assert found.exit_code == 0, found.output
        labels = ["--labels", str(tmp_path / "classes.npy"), "--strategies", "lewis", "--budgets", "30"]
        short = ["--seeds", "3", "--splits", "1", "--heads", "ridge", "--no-plot"]
        found = run(cli, ["evaluate", *pool, *labels, *short, "--device", where, "--out", str(tmp_path / where)])
        assert found.exit_code == 0, found.output
    here, there = (read_table(tmp_path / f"{where}.parquet") for where in ("cpu", "cuda"))
    np.testing.assert_allclose(there["max"], here["max"], rtol=1e-5)
    assert_same_runs(*(read_table(tmp_path / where / "runs.parquet") for where in ("cpu", "cuda")))
    wrong = run(cli, ["evaluate", *pool, *labels, "--device", "cuda:x", "--out", str(tmp_path / "no")])
    assert "device must be" in str(wrong.exception)
