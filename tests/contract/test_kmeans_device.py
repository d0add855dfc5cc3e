"""k-means of device arrays from the same start has the centres, labels and distances of the CPU."""

import numpy as np
import pytest
from pools import as_dtype, pools

import oneglance as og
from oneglance.cuda import rows

POOLS = {
    name: matrix
    for name, matrix in pools()
    if name
    in (
        "n_1",
        "n_17",
        "d_1",
        "d_65",
        "normal",
        "clustered",
        "duplicates",
        "all_equal",
        "integers",
        "offset",
        "one_giant",
        "relu",
        "tiny",
    )
}


def equal(device, got, want):
    assert np.array_equal(device.get(got.labels), want.labels)
    assert np.array_equal(device.get(got.centers), want.centers)
    assert np.array_equal(device.get(got.distances), want.distances, equal_nan=True)
    assert (got.n_iter, got.converged, got.reassigned) == (want.n_iter, want.converged, want.reassigned)
    assert got.shift == pytest.approx(want.shift, rel=1e-9)
    assert got.inertia == pytest.approx(want.inertia, rel=1e-12)


@pytest.mark.parametrize("name", POOLS)
def test_the_answers_are_the_cpus(device, name):
    for dtype, metric in (("float16", "sqeuclidean"), ("float32", "cosine")):
        x = as_dtype(POOLS[name][:300], dtype)
        if x is None:
            continue
        options = {"k": min(7, len(x)), "metric": metric, "init": "random", "max_iter": 6}
        equal(device, og.kmeans(device.put(x), **options), og.kmeans(x, **options))


def test_starts(device):
    x = POOLS["clustered"].astype(np.float32)[:200]
    for init in ("k-means++", x[3:8], device.put(x[3:8])):
        got = og.kmeans(device.put(x), 5, init=init, max_iter=4, tol=0.0)
        equal(device, got, og.kmeans(x, 5, init=init if isinstance(init, str) else x[3:8], max_iter=4, tol=0.0))


def test_rows_of_the_host_are_copied_in_pieces(device, monkeypatch):
    """Whole, they would be on the device twice for a moment, and on the host."""
    monkeypatch.setattr(rows, "PIECE_BYTES", 4 * 24 * 10)
    x, sizes, real = POOLS["clustered"].astype(np.float32)[:35], [], device.library.from_host
    monkeypatch.setattr(
        device.library, "from_host", lambda array, where: sizes.append(len(array)) or real(array, where)
    )
    copy = rows.DeviceCopy(og.RowShards((x[:3], x[3:])), device.library, 0)
    assert sizes == [3, 10, 10, 10, 2]
    assert np.array_equal(device.library.to_host(copy.rows.array), x)


def test_masks_and_rows_of_the_host(device):
    x = POOLS["clustered"].astype(np.float32)[:200]
    mask = np.arange(200) % 3 != 0
    want = og.kmeans(x, 5, init="random", mask=mask, max_iter=5)
    equal(device, og.kmeans(device.put(x), 5, init="random", mask=mask, max_iter=5), want)
    copied = og.kmeans(og.RowShards((x[:50], x[50:])), 5, init="random", mask=mask, max_iter=5, device="cuda")
    assert isinstance(copied.labels, np.ndarray)
    assert np.array_equal(copied.labels, want.labels)
    assert np.array_equal(copied.centers, want.centers)


def test_what_is_wrong_is_named(device):
    x = POOLS["normal"].astype(np.float32)[:30]
    with pytest.raises(og.InvalidInput, match="k is 31, but X has only 30 rows"):
        og.kmeans(device.put(x), 31)
    with pytest.raises(og.InvalidInput, match="init must hold k centres of shape"):
        og.kmeans(device.put(x), 3, init=x[:4])
    with pytest.raises(og.InvalidInput, match="init must be one of"):
        og.kmeans(device.put(x), 3, init="first")
    with pytest.raises(og.InvalidInput, match="batch_rows is for rows that are slow to read"):
        og.kmeans(device.put(x), 3, batch_rows=10)
    x[4, 4] = np.nan
    with pytest.raises(og.InvalidInput, match="X has 1 row with NaN or infinity: 4"):
        og.kmeans(device.put(x), 3, init="random")
