"""`oneglance weights` from the outside."""

from __future__ import annotations

import errno
import json
import tempfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import oneglance as og
from oneglance.cli.weights import weights
from oneglance.errors import InvalidInput
from oneglance.strategies import coherence_total, kappa


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    arrays = {"vit": rng.standard_t(2, (90, 4)), "cnn": rng.normal(size=(90, 7))}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    return arrays


def run(*args):
    result = CliRunner().invoke(weights, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_table_and_file(pool, tmp_path):
    out = run("vit.npy", "cnn.npy", "--p", "1")
    for word in ("backbone", "n", "d", "rank", "passes", "residual", "precision", "condition", "vit", "cnn"):
        assert word in out
    want = [og.lewis_weights(array, 1.0).weights for array in pool.values()]
    assert f"T = sum of the largest weights = {coherence_total(want):,.1f} (at most 11 = min(sum of ranks, n))" in out
    assert f"kappa(10 %) = {kappa(want, 0.1):.3g}" in out
    table = pq.read_table("weights.parquet")
    assert table.column_names == ["row_id", "item_id", "vit", "cnn", "max"]
    assert np.array_equal(table["vit"].to_numpy(), want[0])
    assert np.array_equal(table["max"].to_numpy(), np.maximum(*want))
    assert table["row_id"].to_pylist() == list(range(90))


def test_json_and_left_out_items(pool, tmp_path):
    (tmp_path / "done.txt").write_text("3\n5\n")
    document = json.loads(run("vit.npy", "cnn.npy", "--labelled", "done.txt", "--json", "--out", "w.parquet"))
    assert document["certificate"]["backbones"]["cnn"]["n"] == 88
    assert document["certificate"]["total_bound"] == 11
    column = pq.read_table("w.parquet")["max"].to_pylist()
    assert column[3] is None
    assert column[5] is None
    assert column[4] > 0


def test_dry_run_and_overwrite(pool, tmp_path):
    assert "passes" in run("vit.npy", "--dry-run")
    with pytest.raises(InvalidInput, match="p must be a finite number > 0, got 0"):
        run("vit.npy", "--dry-run", "--p", 0)
    assert not (tmp_path / "weights.parquet").exists()
    run("vit.npy")
    with pytest.raises(InvalidInput, match=r"--out weights.parquet exists. .* add --overwrite"):
        run("vit.npy")
    first = (tmp_path / "weights.parquet").read_bytes()
    run("vit.npy", "--overwrite")
    assert (tmp_path / "weights.parquet").read_bytes() == first


def test_nothing_left(pool, tmp_path):
    (tmp_path / "all.txt").write_text("\n".join(map(str, range(90))))
    with pytest.raises(InvalidInput, match="no item is left of the 90: all are invalid, labelled or excluded"):
        run("vit.npy", "--exclude", "all.txt")


def test_a_place_that_cannot_be_written_is_refused_before_any_work(pool, tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", refuse)
        result = CliRunner().invoke(weights, ["vit.npy", "--out", str(tmp_path / "w.parquet")])
    assert isinstance(result.exception, InvalidInput)
    assert f"cannot write in {tmp_path} (Read-only file system). Choose another folder." in str(result.exception)
    assert "Lewis weights of" not in result.output


def test_a_name_that_promises_another_format_is_refused(pool, tmp_path):
    result = CliRunner().invoke(weights, ["vit.npy", "--out", str(tmp_path / "w.csv")])
    assert f"the file will be Parquet. Call it {tmp_path / 'w.parquet'}." in str(result.exception)
