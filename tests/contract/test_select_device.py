"""`select(device=)` streams features through a device and picks what the CPU picks; doors say what is wrong."""

import numpy as np
import pytest

import oneglance as og
from oneglance.cuda import arithmetic, passes


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
