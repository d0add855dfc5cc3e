"""Patterns of pictures on a device: the bytes of the CPU."""

import numpy as np
import pytest

from oneglance.cluster import small_kmeans
from oneglance.cuda.patterns import class_attention
from oneglance.errors import InvalidInput, OutOfMemory
from oneglance.features.pattern_filter import Patches, cluster_patches
from oneglance.features.pattern_spec import PatternSpec

SIZES = [0, 1, 4, 5, 6, 15, 16, 17, 40, 63, 65]

# Every case once; the other libraries differ in a few calls, which the tests without this mark see.
once = pytest.mark.parametrize("device", ["emulated-numpy", "cuda-torch"], indirect=True)


def same(device, points, offsets, k, **asked):
    got, want = small_kmeans(device.put(points), offsets, k, **asked), small_kmeans(points, offsets, k, **asked)
    assert np.array_equal(got.offsets, want.offsets)
    assert device.get(got.patterns).tobytes() == want.patterns.tobytes()


def ragged(d, scale=10.0):
    rng = np.random.default_rng(d)
    offsets = np.concatenate([[0], np.cumsum(SIZES)])
    points = (scale * rng.normal(size=(offsets[-1], d))).astype(np.float32)
    points[offsets[8] : offsets[9]] = points[offsets[8]]  # an image of equal points: empty clusters
    return points, offsets, rng.integers(0, 2**32, len(SIZES))


@once
@pytest.mark.parametrize("d", [1, 7, 16, 33])
@pytest.mark.parametrize("k", [1, 2, 5, 9, 17])
def test_small_kmeans_has_the_bytes_of_the_cpu(device, d, k):
    points, offsets, items = ragged(d)
    same(device, points, offsets, k, seed=9, items=items, max_iter=12)


@once
@pytest.mark.parametrize("kind", ["huge", "tiny", "offset", "integers", "one giant", "nearly equal"])
def test_points_that_float32_distances_cannot_tell_apart(device, kind):
    points, offsets, items = ragged(6, 1.0)
    if kind == "huge":
        points *= np.float32(1e30)
    elif kind == "tiny":
        points *= np.float32(1e-30)
    elif kind == "offset":
        points += np.float32(1e4)
    elif kind == "integers":
        points = np.round(points)
    elif kind == "one giant":
        points[::7] *= np.float32(1e15)
    else:
        points = (1.0 + 1e-6 * points).astype(np.float32)
    same(device, points, offsets, 4, seed=2, items=items, max_iter=10, tol=0.0)


def test_sets_and_threads_in_any_order_give_the_same(device):
    points, offsets, items = ragged(5)
    with device.descending():
        same(device, points, offsets, 3, seed=1, items=items)


def test_padded_points_with_counts_other_types_and_none(device):
    rng = np.random.default_rng(0)
    points, counts = rng.normal(size=(5, 9, 4)), np.array([9, 0, 3, 1, 7])
    for asked in ({}, {"counts": counts}):
        want = small_kmeans(points, None, 2, **asked)
        for dtype in (np.float64, np.float16):
            wide = points.astype(dtype)
            got = small_kmeans(device.put(wide), None, 2, **asked)
            assert np.array_equal(got.offsets, want.offsets)
            assert device.get(got.patterns).tobytes() == small_kmeans(wide, None, 2, **asked).patterns.tobytes()
    none = small_kmeans(device.put(points[:, :0]), None, 2)
    assert device.get(none.patterns).shape == (0, 4)
    assert none.offsets.tolist() == [0] * 6


def test_points_that_are_not_finite_are_named(device):
    points, offsets, _ = ragged(3)
    points[[11, 30], 1] = np.nan, np.inf
    with pytest.raises(InvalidInput, match="points has 2 rows with NaN or infinity: 11, 30"):
        small_kmeans(device.put(points), offsets, 2)
    with pytest.raises(InvalidInput, match="points must be 2-D"):
        small_kmeans(device.put(points[:, 0]), offsets, 2)


def batch(n=5, t=33, d=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, t, d)).astype(np.float32)
    attention = rng.random((n, t)).astype(np.float32) ** 4
    attention[1] = 0.25  # all alike
    attention[2] = np.round(attention[2] * 4)  # ties and zeros
    attention[3] = 0  # none: the longest patch
    return rows, attention


def both(device, rows, attention, spec):
    items = range(40, 40 + len(rows))
    want = cluster_patches(Patches(rows, attention), items, spec)
    there = Patches(device.put(rows), None if attention is None else device.put(attention))
    got = cluster_patches(there, items, spec)
    assert [block.shape for block in got] == [block.shape for block in want]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("tau", [0.0, 1e-12, 0.3, 0.5, 0.9, 1.0])
def test_patterns_by_attention_have_the_bytes_of_the_cpu(device, tau):
    both(device, *batch(), PatternSpec(3, tau=tau, seed=4))


@pytest.mark.parametrize("n_patches", [1, 2, 31, 32, 65])
def test_any_number_of_patches(device, n_patches):
    rows, attention = batch(t=n_patches)
    for n_patterns in (1, 4, 90):
        both(device, rows, attention, PatternSpec(n_patterns))


@pytest.mark.parametrize("threshold", [0.0, 2.5, 100.0])
def test_patterns_by_norm_have_the_bytes_of_the_cpu(device, threshold):
    rows, _ = batch(t=49)
    rows[0, :7] = 0
    both(device, rows, None, PatternSpec(4, norm_threshold=threshold))


def test_pictures_that_are_not_finite_have_no_patterns_and_harm_no_other(device):
    rows, attention = batch()
    rows[0, 3, 1], attention[2, 0] = np.inf, np.nan
    both(device, rows, attention, PatternSpec(2))
    both(device, rows, None, PatternSpec(2))
    both(device, rows[:0], attention[:0], PatternSpec(2))


def test_more_patches_than_shared_memory_holds_go_to_the_cpu(device):
    if device.library.name != "torch":
        pytest.skip("patches are Torch's")
    n = device.library.kernels.MOST_SHARED // 16 + 1
    rows = np.random.default_rng(0).normal(size=(1, n, 1)).astype(np.float32)
    both(device, rows, None, PatternSpec(2, norm_threshold=2.9))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 3, 3, 17, 8), (3, 6, 2, 50, 33), (2, 12, 4, 5, 64)])
def test_attention_of_the_class_token_is_the_definition(device, shape):
    n, n_heads, n_key_heads, n_tokens, d_head = shape
    rng = np.random.default_rng(n_tokens)
    q, keys = rng.normal(size=(n, n_heads, 1, d_head)), rng.normal(size=(n, n_tokens, n_key_heads, d_head))
    q, keys = q.astype(np.float32), keys.astype(np.float32).transpose(0, 2, 1, 3)
    logits = 0.3 * (q.astype(float) @ np.repeat(keys, n_heads // n_key_heads, axis=1).astype(float).swapaxes(2, 3))
    weights = np.exp(logits - logits.max(axis=3, keepdims=True))
    want = (weights / weights.sum(axis=3, keepdims=True))[:, :, 0].mean(axis=1)
    for n_prefix in {0, min(1, n_tokens - 1), n_tokens - 1}:
        got = device.get(class_attention(device.put(q), device.put(keys), 0.3, n_prefix, device.library))
        np.testing.assert_allclose(got, want[:, n_prefix:], rtol=3e-5, atol=1e-7)
    huge = device.get(class_attention(device.put(1e6 * q), device.put(keys), 1e6, 0, device.library))
    assert np.abs(huge.sum(axis=1) - 1).max() <= 1e-5


def test_too_many_tokens_for_shared_memory_are_left_to_torch(device):
    wide = device.put(np.zeros((1, 8, 1, 2), np.float32))
    tokens = device.library.kernels.MOST_SHARED // 32 + 1
    assert class_attention(wide, device.put(np.zeros((1, 8, tokens, 2), np.float32)), 1.0, 1, device.library) is None


def transformer(torch):
    """Patches of 8 x 8 pixels, a class token, three blocks."""

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn, self.norm1 = torch.nn.MultiheadAttention(24, 3, batch_first=True), torch.nn.LayerNorm(24)

        def forward(self, x):
            y = self.norm1(x)
            return x + self.attn(y, y, y, need_weights=False)[0]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.patch_embed = torch.nn.Conv2d(3, 24, 8, 8)
            self.cls_token = torch.nn.Parameter(torch.randn(1, 1, 24))
            self.blocks = torch.nn.ModuleList(Block() for _ in range(3))
            self.norm = torch.nn.LayerNorm(24)

        def forward(self, x):
            x = self.patch_embed(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
            for block in self.blocks:
                x = block(x)
            return self.norm(x)[:, 0]

    torch.manual_seed(0)
    return Network().eval()


def test_a_whole_extraction_runs_on_the_device(device, monkeypatch):
    torch = pytest.importorskip("torch")
    if device.library.name != "torch":
        pytest.skip("networks are Torch's")
    from oneglance.cuda import arrays
    from oneglance.features import extract_patterns

    images = torch.randn(5, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    where = "cpu" if device.emulated else "cuda"
    got = extract_patterns(transformer(torch), images, 3, device=where)
    monkeypatch.setattr(arrays, "_registered", [])
    want = extract_patterns(transformer(torch), images, 3)
    assert np.array_equal(got.offsets, want.offsets)
    np.testing.assert_allclose(np.asarray(got.rows), np.asarray(want.rows), rtol=1e-3, atol=1e-4)


def test_a_few_small_sets_need_little_memory(device, monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    want = small_kmeans(x, [0, 10, 40], 3)
    monkeypatch.setattr(type(device.library), "free_bytes", lambda self, number: 20_000)
    got = small_kmeans(device.put(x), [0, 10, 40], 3)
    assert device.get(got.patterns).tobytes() == want.patterns.tobytes()
    with pytest.raises(OutOfMemory, match=r"small_kmeans needs .* 20 kB are free"):
        small_kmeans(device.put(np.repeat(x, 40, axis=0)), [0, 1600], 60)
