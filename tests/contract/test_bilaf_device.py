"""BiLAF on a device: for given cores the bytes of the CPU."""

import numpy as np
import pytest

import oneglance as og
from oneglance.errors import InvalidInput

FIELDS = ("indices", "scores", "classes", "opponent", "cores", "labels", "removed")

# Every case once; the other libraries differ in a few calls, which the tests without this mark see.
once = pytest.mark.parametrize("device", ["emulated-numpy", "cuda-torch"], indirect=True)


def pool(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 2 * rng.normal(size=(5, d))[rng.integers(0, 5, n)]


def same(device, x, k, **asked):
    got, want = og.bilaf(device.put(x), k, **asked), og.bilaf(x, k, **asked)
    for field in FIELDS:
        assert np.array_equal(getattr(got, field), getattr(want, field), equal_nan=True), field


@once
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("n", "d", "n_cores", "k"), [(15, 1, 2, 6), (65, 17, 3, 20), (90, 8, 12, 40)])
def test_picks_have_the_bytes_of_the_cpu(device, dtype, n, d, n_cores, k):
    x = pool(n, d).astype(dtype)
    for metric in ("cosine", "sqeuclidean"):
        same(device, x, k, cores=np.arange(0, n, n // n_cores)[:n_cores], metric=metric)


@once
@pytest.mark.parametrize(
    "asked",
    [
        {"n_neighbors": 1, "growth": 1.0, "removal": 0.0},
        {"n_neighbors": 60, "growth": 0.01, "removal": 0.5},
        {"penalty": 1.0},
        {"penalty": 3.0, "k": 70},  # so large that nearest cores do not settle the scores
    ],
    ids=["one neighbour", "all neighbours", "no penalty", "large penalty"],
)
def test_any_settings(device, asked):
    x = pool(120, 4, seed=1).astype(np.float32)
    asked = dict(asked)
    same(device, x, asked.pop("k", 30), cores=list(range(0, 120, 8)), **asked)


@pytest.mark.parametrize("kind", ["duplicates", "integers", "all equal", "huge", "one class", "one row"])
def test_awkward_rows(device, kind):
    x = pool(60, 3, seed=2)
    cores = [0, 7, 31]
    if kind == "duplicates":
        x = np.repeat(x[:12], 5, axis=0)
    elif kind == "integers":
        x = np.round(x) + 5.0
    elif kind == "all equal":
        x[:] = 3.0
    elif kind == "huge":
        x *= 1e100
    elif kind == "one class":
        cores = [4]
    else:
        x, cores = x[:1], [0]
    same(device, x, min(20, len(x)), cores=cores, metric="sqeuclidean")


def test_masks_and_earlier_cores(device):
    x = pool(90, 6, seed=3).astype(np.float32)
    mask = np.random.default_rng(0).random(90) < 0.8
    free = np.flatnonzero(mask)
    x[~mask] = np.nan
    already = free[[3, 40]].tolist()
    same(device, x, 25, cores=free[[1, 9, 30]], already=already, mask=mask)
    with device.descending():
        same(device, x, 25, cores=free[[1, 9, 30]], already=already, mask=mask)


@pytest.mark.parametrize("cores", ["farthest", "kmeans"])
def test_cores_are_found_on_the_device(device, cores):
    if device.name == "emulated-torch":
        pytest.skip("the same kernels as emulated-numpy")
    x = pool(70, 5, seed=4).astype(np.float32)
    got = og.bilaf(device.put(x), 14, cores=cores, n_cores=4, seed=1)
    assert len(set(got.indices.tolist())) == 14
    assert got.cores.size == 4
    if cores == "farthest":
        assert got.indices.tolist() == og.bilaf(x, 14, cores=cores, n_cores=4, seed=1).indices.tolist()


def test_mistakes_are_named(device):
    x = pool(20, 4).astype(np.float32)
    with pytest.raises(InvalidInput, match='compat is "released", which the CPU alone computes'):
        og.bilaf(device.put(x), 4, compat="released")
    x[[3, 5]] = np.nan
    with pytest.raises(InvalidInput, match="X has 2 rows with NaN or infinity: 3, 5"):
        og.bilaf(device.put(x), 4, cores=[0, 1])


@pytest.mark.parametrize("what", ["denoising of classes", "picks inside classes"])
def test_a_lack_of_memory_is_said_in_bytes(device, monkeypatch, what):
    calls = {"denoising of classes": "bilaf_denoise", "picks inside classes": "bilaf_boundary"}
    library, failed = device.library, type("Failed", (Exception,), {})

    class Short:
        def __getattr__(self, name):
            def fail(*args, **named):
                raise failed

            return fail if name == calls[what] else getattr(kernels, name)

    kernels = library.kernels
    monkeypatch.setattr(library, "kernels", Short())
    monkeypatch.setattr(type(library), "out_of_memory", failed)
    with pytest.raises(og.errors.OutOfMemory, match=f"{what} needs .* on device 0 .* are free. Free some of it"):
        og.bilaf(device.put(pool(30, 3)), 6, cores=[0, 5])
