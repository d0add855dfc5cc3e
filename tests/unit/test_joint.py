"""Features of several backbones as one space: values, and where they are kept."""

from __future__ import annotations

import errno
import os
import sys

import numpy as np
import pytest

import oneglance as og
from oneglance.strategies import as_pool
from oneglance.strategies.joint import joint_space


@pytest.fixture
def scratch(monkeypatch, tmp_path):
    """Every joined copy is too large for memory, and goes to a folder of its own."""
    monkeypatch.setattr(sys.modules[joint_space.__module__], "IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    return {"a": rng.normal(size=(200, 5)) + 3.0, "b": 1e3 * rng.normal(size=(200, 2))}


def test_every_backbone_counts_alike(pool):
    counted = np.arange(200) < 150
    joint = np.asarray(joint_space(as_pool(pool), counted, print).rows.take(np.arange(200)))
    for columns, rows in ((slice(0, 5), pool["a"]), (slice(5, 7), pool["b"])):
        centred = rows - rows[counted].mean(axis=0)
        np.testing.assert_allclose(joint[:, columns], centred / np.linalg.norm(centred, axis=1)[:, None], atol=1e-6)


def test_a_scratch_file_gives_the_same_picks_and_leaves_nothing(pool, scratch):
    notes = []
    found = og.select(pool, 20, "kernel", progress=notes.append)
    assert any("scratch file" in note and str(scratch) in note for note in notes)
    assert list(scratch.iterdir()) == []
    sys.modules[joint_space.__module__].IN_MEMORY = 2 << 30
    assert np.array_equal(found.indices, og.select(pool, 20, "kernel").indices)


def test_a_full_disk_is_met_before_anything_is_written(pool, scratch, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(og.StoreError, match=r"joined features of a\+b need 5.6 kB of scratch space in .*Set TMPDIR"):
        og.select(pool, 20, "kernel")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_rows_whose_squares_leave_float64_are_scaled_first(pool, scale):
    plain = og.select(pool, 20, "kernel")
    assert np.array_equal(og.select({"a": scale * pool["a"], "b": pool["b"]}, 20, "kernel").indices, plain.indices)
