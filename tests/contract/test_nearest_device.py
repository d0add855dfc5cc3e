"""Nearest rows of device arrays are those of the CPU, bit for bit, on every awkward pool."""

import numpy as np
import pytest
from pools import EXACT, as_dtype, pools

import oneglance as og
from oneglance.cuda import device_rows, nearest, neighbours
from oneglance.cuda.metric_rows import MetricRows
from oneglance.reference.nearest import nearest as oracle

POOLS = dict(pools())


def equal(device, got, want):
    assert np.array_equal(device.get(got.indices), want.indices)
    assert np.array_equal(device.get(got.distances), want.distances, equal_nan=True)


def some_queries(x, n=20):
    return np.ascontiguousarray(x[np.random.default_rng(5).permutation(len(x))[:n]])


@pytest.mark.parametrize("name", POOLS)
def test_the_answers_are_the_cpus(device, name):
    kinds = (("float32", 1, "sqeuclidean"), ("float16", 3, "sqeuclidean"), ("float64", 5, "cosine"))
    for dtype, k, metric in kinds[:1] if device.name == "emulated-numpy" else kinds:
        x = as_dtype(POOLS[name], dtype)
        if x is None:
            continue
        q, k = some_queries(x), min(k, len(x))
        equal(
            device, og.nearest(device.put(q), device.put(x), k=k, metric=metric), og.nearest(q, x, k=k, metric=metric)
        )


@pytest.mark.parametrize("name", EXACT)
def test_ties_go_to_the_lower_row(device, name):
    x = POOLS[name].astype(np.float32)
    q = some_queries(x)
    indices, distances = oracle(q, x, 40)
    got = og.nearest(device.put(q), device.put(x), k=40)
    assert np.array_equal(device.get(got.indices), indices)
    assert np.array_equal(device.get(got.distances), distances)


def test_small_panels_and_tiles_change_nothing(device, monkeypatch):
    x = POOLS["normal"].astype(np.float32)
    q = some_queries(x, 70)
    whole = og.nearest(device.put(q), device.put(x), k=4)
    monkeypatch.setattr(nearest, "PANEL_ROWS", 32)
    monkeypatch.setattr(nearest, "CACHE_BYTES", 0)
    monkeypatch.setattr(nearest, "EXACT_BYTES", 1)
    with device.descending():
        equal(device, og.nearest(device.put(q), device.put(x), k=4), og.nearest(q, x, k=4))
    assert np.array_equal(device.get(whole.indices), og.nearest(q, x, k=4).indices)


@pytest.mark.parametrize("k", [23, 25, 121, 504])
def test_longer_lists(device, k):
    x = POOLS["clustered"].astype(np.float32)
    q = some_queries(x)[:20]
    equal(device, og.nearest(device.put(q), device.put(x), k=k), og.nearest(q, x, k=k))


def test_too_many_neighbours_are_refused_with_the_cure(device):
    x = device.put(POOLS["normal"])
    with pytest.raises(og.InvalidInput, match="k is 505, but on a CUDA device at most 504"):
        og.nearest(x, x, k=505)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_other_rows_and_masks(device, metric):
    x = POOLS["duplicates"].astype(np.float32)[:200]
    mask = np.arange(200) % 4 != 1
    equal(device, og.knn(device.put(x), 3, metric=metric), og.knn(x, 3, metric=metric))
    want = og.knn(x, 3, metric=metric, mask=mask)
    equal(device, og.knn(device.put(x), 3, metric=metric, mask=mask), want)
    q = some_queries(x)
    got = og.nearest(device.put(q), device.put(x), k=2, metric=metric, mask=device.put(mask))
    equal(device, got, og.nearest(q, x, k=2, metric=metric, mask=mask))


def test_types_may_differ_and_rows_may_be_strided(device):
    x = POOLS["normal"].astype(np.float16)
    q = some_queries(POOLS["relu"])
    equal(device, og.nearest(device.put(q), device.put(x), k=3), og.nearest(q, x, k=3))
    wide = np.hstack([POOLS["normal"], POOLS["relu"]]).astype(np.float32)
    equal(
        device,
        og.nearest(device.put(wide)[::2, 3:20], device.put(wide)[1::3, 3:20]),
        og.nearest(wide[::2, 3:20], wide[1::3, 3:20]),
    )


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_float16_queries_take_fewer_products(device, offset):
    """Numbers of 11 bits are not split, unless their mean is so large that it has to be taken off."""
    if not device.library.selects_tf32:
        pytest.skip("this library cannot choose TF32")
    x = (POOLS["normal"] + offset).astype(np.float16)
    q, parts = some_queries(x), []
    plain = nearest.NearestSearch.__init__

    def counted(self, *args, **options):
        plain(self, *args, **options)
        parts.append(self.width // 24)

    nearest.NearestSearch.__init__ = counted
    try:
        for rows in (x, x.astype(np.float32)):
            equal(device, og.nearest(device.put(q), device.put(rows), k=3), og.nearest(q, rows, k=3))
    finally:
        nearest.NearestSearch.__init__ = plain
    assert parts == ([1, 2] if offset == 0 else [3, 3])


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_piece_with_fewer_rows_than_neighbours_adds_only_those(device, monkeypatch, k):
    """Places of the answer that no row takes are never left as memory was: zeros would be the nearest of all."""
    monkeypatch.setattr(device.library, "empty", device.library.zeros)
    x = np.random.default_rng(k).normal(size=(11, 6)).astype(np.float32)
    for rows in (2, 5):  # the last piece has one row
        monkeypatch.setattr(neighbours, "CHUNK_BYTES", 8 * 6 * rows)
        got, want = og.knn(x, k, device="cuda"), og.knn(x, k)
        assert np.array_equal(got.indices, want.indices)
        assert np.array_equal(got.distances, want.distances)


def test_rows_of_the_host_are_streamed(device, monkeypatch):
    x = POOLS["clustered"].astype(np.float32)
    q = some_queries(x)
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 8 * 24 * 90)
    shards = og.RowShards((x[:100], x[100:101], x[101:]))
    for got, want in (
        (og.nearest(q, shards, k=3, device="cuda"), og.nearest(q, x, k=3)),
        (
            og.nearest(q, x, k=3, metric="cosine", mask=np.arange(700) > 300, device="cuda"),
            og.nearest(q, x, k=3, metric="cosine", mask=np.arange(700) > 300),
        ),
        (og.knn(x[:250], 2, device="cuda"), og.knn(x[:250], 2)),
        (
            og.knn(x[:250], 2, mask=np.arange(250) % 2 == 0, device="cuda"),
            og.knn(x[:250], 2, mask=np.arange(250) % 2 == 0),
        ),
    ):
        assert isinstance(got.indices, np.ndarray)
        assert np.array_equal(got.indices, want.indices)
        assert np.array_equal(got.distances, want.distances, equal_nan=True)


def test_bad_rows_are_named(device):
    x = POOLS["normal"].astype(np.float32)[:50]
    bad = x.copy()
    bad[7, 3] = np.nan
    with pytest.raises(og.InvalidInput, match="X has 1 row with NaN or infinity: 7"):
        og.nearest(device.put(x), device.put(bad))
    with pytest.raises(og.InvalidInput, match="Q has 1 row with NaN or infinity: 7"):
        og.nearest(device.put(bad), device.put(x))
    bad[7] = 0
    with pytest.raises(og.InvalidInput, match="Q has 1 row of zeros"):
        og.nearest(device.put(bad), device.put(x), metric="cosine")
    with pytest.raises(og.InvalidInput, match="exceed the range of float64"):
        og.nearest(device.put(1e200 * POOLS["n_15"]), device.put(-1e200 * POOLS["n_15"]))
    with pytest.raises(og.InvalidInput, match="Q must be in device memory"):
        og.nearest(x, device.put(x))


def test_the_lack_of_memory_is_said_in_bytes(device, monkeypatch):
    x = device.put(POOLS["normal"])
    monkeypatch.setattr(type(device.library), "free_bytes", lambda self, number: 12_345)
    with pytest.raises(og.errors.OutOfMemory, match=r"nearest needs \d+ kB on device 0 .*12\.3 kB are free"):
        og.nearest(x, x)


def test_what_was_never_written_is_not_computed_with(device, monkeypatch):
    """Factors of rows that the mask leaves out: fresh memory may hold anything, and their rows too."""
    x = POOLS["normal"][:20].astype(np.float32)
    x[::2] = np.inf
    monkeypatch.setattr(device.library, "empty", device.library.zeros)  # 0 * inf would warn
    rows = MetricRows(device_rows(device.put(x), "X", device.library), True, np.arange(20) % 2 == 1)
    got = rows.sample()
    np.testing.assert_allclose(got, x[1::2] / np.linalg.norm(x[1::2], axis=1, keepdims=True), rtol=1e-6)


def test_prepared_rows_are_kept_once(device):
    """Queries with many equals are asked again, fewer at a time and in wider tiles."""
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    x[:200] = x[0]
    rows, queries = (MetricRows(device_rows(device.put(y), "X", device.library), False) for y in (x, x[198:300]))
    search = nearest.NearestSearch(rows, 3)
    indices, _ = search.find(queries)
    assert np.array_equal(device.library.to_host(indices), oracle(x[198:300], x, 3)[0])
    assert sum(int(tile.x.shape[0]) for tile in search._tiles.values()) == 300
