"""Farthest points and draws on a device: in float64 the bytes of the CPU, in float32 its picks up to near-ties."""

import mmap
from dataclasses import replace

import numpy as np
import pytest
from device_libraries import InDeviceMemory
from pools import cases

import oneglance as og
from oneglance.cuda import draw as device_draw
from oneglance.cuda import farthest as device_farthest
from oneglance.reference import nearest as nearest_reference
from oneglance.reference.cover import new_cover
from oneglance.search import weighted_draw
from oneglance.search.cover import checked

CASES = {name: x[:90] for name, x in cases()}
FEW = [name for name in CASES if name.endswith("float64")] + ["integers-float16", "duplicates-float32", "n_17-float16"]
FLOAT32 = [name for name in CASES if name.endswith("float32")] + ["normal-float16", "binary-float16", "d_63-float16"]
both_metrics = pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
FIELDS = ("indices", "radii", "nearest_selected", "rows", "row_distance", "row_nearest")


# Every case once; the other libraries differ in a few calls, which the tests without this mark see.
once = pytest.mark.parametrize("device", ["emulated-numpy", "cuda-torch"], indirect=True)


def wide_request(device, x, k, metric="sqeuclidean", **asked):
    names = {name: asked.get(name) for name in ("offsets", "mask", "already", "start")}
    door = checked(device.put(x), k, metric, **names)
    return replace(door.request(door.rows), arithmetic="float64")


def same_bytes(device, got, want, fields=FIELDS):
    places = dict(
        zip(("indices", "rows", "radii", "nearest_selected", "row_distance", "row_nearest"), got, strict=False)
    )
    for field in fields:
        assert np.array_equal(device.get(places[field]), getattr(want, field), equal_nan=True), field
    assert got[6] == want.radius or np.isnan(want.radius)


@once
@pytest.mark.parametrize("name", FEW)
@both_metrics
def test_in_float64_farthest_points_have_the_bytes_of_the_cpu(device, name, metric):
    x = CASES[name]
    k = min(len(x), 12)
    got = device_farthest.farthest_points(wide_request(device, x, k, metric), True)
    same_bytes(device, got, og.farthest_points(x, k, metric=metric, assign=True))


@once
@pytest.mark.parametrize("name", FEW[::3])
@pytest.mark.parametrize("gamma", [1.0, 2.0, 0.7])
def test_in_float64_draws_have_the_bytes_of_the_cpu(device, name, gamma):
    x, metric = CASES[name], "cosine" if gamma == 2 else "sqeuclidean"
    k = min(len(x), 24)
    got = device_draw.weighted_draw(wide_request(device, x, k, metric), gamma, 5, True)
    same_bytes(device, got, weighted_draw(x, k, gamma=gamma, metric=metric, seed=5, assign=True))


@once
def test_a_row_proposed_twice_is_brought_up_to_date_once(device):
    """Two threads that both wrote it could leave the centre of one beside the distance of the other."""
    x = np.random.default_rng(0).normal(size=(60, 8))
    got = device_draw.weighted_draw(wide_request(device, x, 50), 1.0, 5, False)
    want = weighted_draw(x, 50, gamma=1.0, seed=5)
    same_bytes(device, got, want, FIELDS[:4])
    assert got[7] == want.readings


def tolerance(x, metric):
    """float32 sums of d squares; under cosine elements are rounded before they are subtracted."""
    return x.shape[1] * 2.0**-22, 0.0 if metric == "sqeuclidean" else 1e-14


@once
@pytest.mark.parametrize("name", FLOAT32)
@both_metrics
def test_float32_picks_are_farthest_up_to_near_ties(device, name, metric):
    x = CASES[name]
    k, (rtol, atol) = min(len(x), 10), tolerance(x, metric)
    got = og.farthest_points(device.put(x), k, metric=metric, assign=True)
    cover = new_cover(np.asarray(x, np.float64), metric, None, None, (), ())
    for item, row, radius in zip(*(device.get(v).tolist() for v in (got.indices, got.rows, got.radii)), strict=True):
        open_d = cover.row_distance[cover.open_items()]
        if row >= 0:
            root = np.sqrt(max(open_d.max(), 0)) + (1e-7 if metric == "cosine" else 0)  # rounded rows move by 1e-7
            assert cover.row_distance[row] >= open_d.max() * (1 - rtol) - 1e-6 * root * (metric == "cosine") - atol
            assert abs(radius - cover.row_distance[row]) <= rtol * radius + 1e-6 * root * (metric == "cosine") + atol
        cover.pick(item, row)
    if name.split("-")[0] in ("integers", "binary", "all_equal") and metric == "sqeuclidean":  # no rounding at all
        want = og.farthest_points(x, k, metric=metric, assign=True)
        assert all(np.array_equal(device.get(getattr(got, field)), getattr(want, field)) for field in FIELDS)


@both_metrics
def test_pools_of_a_part_of_the_rows_give_the_same_picks(device, metric):
    x = np.random.default_rng(8).normal(size=(150, 6)).astype(np.float32)
    want = og.farthest_points(x, 60, metric=metric)
    request = wide_request(device, x, 60, metric)
    got = device_farthest.farthest_points(request, False, least_pool=8)
    same_bytes(device, got, want, FIELDS[:4])
    with device.descending():
        again = device_farthest.farthest_points(request, False, least_pool=8)
        same_bytes(device, again, want, FIELDS[:4])
        drawn = device_draw.weighted_draw(request, 2.0, 1, False)
    same_bytes(device, drawn, weighted_draw(x, 60, gamma=2.0, metric=metric, seed=1), FIELDS[:4])


def owned(x):
    rng = np.random.default_rng(2)
    cuts = np.sort(rng.integers(0, len(x) + 1, len(x) // 3))
    return np.array([0, *cuts, len(x)], dtype=np.int64)


@both_metrics
def test_items_masks_and_earlier_picks(device, metric):
    x = CASES["normal-float32"].copy()
    offsets = owned(x)
    n = offsets.size - 1
    mask = np.random.default_rng(1).random(n) < 0.7
    free = np.flatnonzero(mask)
    already, start = [int(np.flatnonzero(~mask)[1]), int(free[5])], [int(free[9]), int(free[2])]
    owner = np.repeat(np.arange(n), np.diff(offsets))
    x[~mask[owner] & (owner != already[0])] = np.nan
    asked = {"offsets": offsets, "mask": mask, "already": already, "start": start}
    for k in (2, 3, 11, free.size - 1):
        want = og.farthest_points(x, k, metric=metric, assign=True, **asked)
        same_bytes(device, device_farthest.farthest_points(wide_request(device, x, k, metric, **asked), True), want)
        drawn = weighted_draw(x, k, metric=metric, assign=True, seed=k, **asked)
        same_bytes(device, device_draw.weighted_draw(wide_request(device, x, k, metric, **asked), 1.0, k, True), drawn)
    on_device = {"offsets": device.put(offsets), "mask": device.put(mask), "already": already, "start": start}
    assert device.get(og.farthest_points(device.put(x), 9, metric=metric, **on_device).indices).size == 9


@once
def test_draws_of_many_seeds_are_those_of_the_cpu(device):
    """float32 distances of rows far from each other: no number falls between two weights."""
    x = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
    offsets = owned(x)
    for seed in range(12):
        asked = {"gamma": 2.0, "metric": "cosine", "offsets": offsets, "seed": seed}
        got, want = weighted_draw(device.put(x), 10, **asked), weighted_draw(x, 10, **asked)
        assert device.get(got.indices).tolist() == want.indices.tolist()
        assert device.get(got.rows).tolist() == want.rows.tolist()


def test_draws_among_duplicates_and_items_without_rows(device):
    x = np.ones((4, 2), dtype=np.float16)
    offsets = np.array([0, 1, 1, 2, 3, 4, 4], dtype=np.int64)
    for seed in range(6):
        got, want = (weighted_draw(rows, 6, offsets=offsets, seed=seed, assign=True) for rows in (device.put(x), x))
        assert device.get(got.indices).tolist() == want.indices.tolist()
        assert sorted(want.indices[4:].tolist()) == [1, 5]
        assert device.get(got.row_nearest).tolist() == want.row_nearest.tolist()


def test_rows_that_cannot_be_measured_are_named(device):
    x = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    x[[7, 19], 2] = np.nan, np.inf
    for ask in (lambda rows: og.farthest_points(rows, 3), lambda rows: weighted_draw(rows, 3, metric="cosine")):
        with pytest.raises(og.InvalidInput, match="X has 2 rows with NaN or infinity: 7, 19"):
            ask(device.put(x))
    x[[7, 19]] = 0
    with pytest.raises(og.InvalidInput, match="X has 2 rows of zeros, which have no cosine: 7, 19"):
        og.farthest_points(device.put(x), 3, metric="cosine")
    assert device.get(og.farthest_points(device.put(x), 30).indices).size == 30
    with pytest.raises(og.InvalidInput, match="exceed the range of float64"):
        og.farthest_points(device.put(np.array([[1e200], [-1e200], [0.0]])), 2)
    with pytest.raises(og.InvalidInput, match="k is 31, but X has only 30 rows"):
        og.farthest_points(device.put(x), 31)


def test_rows_of_the_host_go_to_the_device_that_is_asked_for(device):
    x = np.random.default_rng(0).integers(-8, 9, size=(40, 5)).astype(np.float32)
    if device.name == "emulated-torch":
        pytest.skip("every torch tensor of the CPU counts as one of the device")
    shards = og.RowShards((x[:7], x[7:]))
    for ask in (og.farthest_points, weighted_draw):
        got, want = ask(shards, 8, assign=True, device="cuda"), ask(x, 8, assign=True)
        for field in FIELDS:
            assert type(getattr(got, field)) is np.ndarray
            assert np.array_equal(getattr(got, field), getattr(want, field))


@pytest.mark.parametrize(
    ("strategy", "asked"),
    [("freesel", {}), ("freesel", {"rule": "fds"}), ("farthest", {}), ("bilaf", {"cores": "farthest"})],
)
def test_strategies_choose_the_same_on_a_device(device, strategy, asked):
    if device.name == "emulated-torch":
        pytest.skip("every torch tensor of the CPU counts as one of the device")
    x = np.random.default_rng(0).normal(size=(70, 9)).astype(np.float32)
    got, want = (og.select(x, 8, strategy, seed=1, device=where, **asked) for where in ("cuda", "cpu"))
    assert sorted(got.indices.tolist()) == sorted(want.indices.tolist())


def test_bfloat16_rows_and_strided_rows(device):
    x = np.random.default_rng(0).integers(-8, 9, size=(50, 20)).astype(np.float32)
    want = og.farthest_points(np.ascontiguousarray(x[::2, :7]), 12)
    assert device.get(og.farthest_points(device.put(x)[::2, :7], 12).indices).tolist() == want.indices.tolist()
    if device.library.name == "torch":
        got = og.farthest_points(device.put(x).bfloat16()[::2, :7], 12)
        assert device.get(got.indices).tolist() == want.indices.tolist()


def test_more_than_2_to_the_31_elements(device):
    if device.name != "emulated-numpy":
        pytest.skip("needs memory that is only reserved")
    n_dims, stride = 20, 2**29 + 8
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    flat = np.frombuffer(mmap.mmap(-1, 4 * (5 * stride + n_dims), flags=flags), dtype=np.float32)
    x = np.lib.stride_tricks.as_strided(flat, (6, n_dims), (4 * stride, 4)).view(InDeviceMemory)
    x[...] = np.random.default_rng(3).normal(size=(6, n_dims))
    want = og.farthest_points(np.array(x).view(np.ndarray), 6)
    assert device.get(og.farthest_points(x, 6).indices).tolist() == want.indices.tolist()


def test_the_prepared_rows_of_cosine_are_those_of_the_definition(device):
    x = CASES["huge-float32"]
    got = og.farthest_points(device.put(x), 5, metric="cosine", assign=True)
    rows = nearest_reference.prepared(x, "cosine")
    picked = device.get(got.indices)
    want = np.array([nearest_reference.distances(row, rows[picked], "cosine").min() for row in rows])
    np.testing.assert_allclose(device.get(got.row_distance), want, rtol=1e-12, atol=1e-15)
