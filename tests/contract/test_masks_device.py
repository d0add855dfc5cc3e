"""Packed masks and Sinkhorn's codes on a device: the bytes of the CPU."""

import numpy as np
import pytest

from oneglance.errors import InvalidInput
from oneglance.masks import MaskStack, apply_mask, pack_mask, pack_scores, unpack_mask
from oneglance.reference import mask_bits

SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 4099)
shifts = pytest.mark.parametrize("shift", [0, 1, 3])


def drawn(n, dtype="float32", seed=0):
    return np.random.default_rng(seed + n).normal(size=n).astype(dtype)


def shifted(device, array, shift):
    """The array at an address that is no multiple of 16 bytes."""
    return device.put(np.concatenate([np.full(shift, 7, array.dtype), array]))[shift:]


@shifts
def test_packing_has_the_bytes_of_the_cpu(device, shift):
    for n in SIZES:
        flags = drawn(n) > 0.3
        for values in (flags, np.where(flags, np.random.default_rng(n).integers(1, 256, n), 0).astype(np.uint8)):
            got, want = pack_mask(shifted(device, values, shift)), pack_mask(values)
            assert (got.shape, got.bits.tobytes(), got.kept) == (want.shape, want.bits.tobytes(), want.kept)


@shifts
def test_thresholds_have_the_bytes_of_the_cpu(device, shift):
    for n in SIZES:
        scores = drawn(n)
        scores[::5] = 0.25
        scores[3::11], scores[4::13] = np.inf, -np.inf
        for mu in (0.0, 0.25, -np.inf):
            got, want = pack_scores(shifted(device, scores, shift), mu), pack_scores(scores, mu)
            assert (got.bits.tobytes(), got.kept) == (want.bits.tobytes(), want.kept)


def test_scores_that_are_nan_are_counted(device):
    scores = drawn(40).reshape(8, 5)
    scores[2, 3] = scores[7, 4] = np.nan
    with pytest.raises(InvalidInput, match="scores must not be NaN, got 2 of 40"):
        pack_scores(device.put(scores))
    with pytest.raises(InvalidInput, match="scores must be float32, got float64"):
        pack_scores(device.put(scores.astype(float)))
    with pytest.raises(InvalidInput, match="mask must be bool or uint8, got float32"):
        pack_mask(device.put(scores))


@shifts
def test_unpacking_from_any_bit_to_any_bit(device, shift):
    flags = drawn(163) > 0
    mask = pack_mask(flags)
    for start in (0, 1, 5, 8, 63, 64, 160, 163):
        for stop in {start, min(start + 1, 163), min(start + 17, 163), 163}:
            out = shifted(device, np.zeros(stop - start, dtype=bool), shift)
            assert unpack_mask(mask, start, stop, out=out) is out
            assert np.array_equal(device.get(out), flags[start:stop])
    with pytest.raises(InvalidInput, match="out must be a contiguous array"):
        unpack_mask(mask, 0, 80, out=device.put(np.zeros(163, dtype=bool))[::2][:80])


@shifts
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_applying_has_the_bytes_of_the_cpu(device, dtype, shift):
    for n in SIZES:
        weights, mask = drawn(n, dtype), pack_mask(drawn(n, seed=1) > 0.5)
        weights[::7], weights[3::9] = np.nan, np.inf
        there = shifted(device, weights, shift)
        got = apply_mask(there, mask)
        want = apply_mask(weights, mask)
        assert device.get(got).tobytes() == want.tobytes() == mask_bits.apply(weights, mask.bits).tobytes()
        assert np.array_equal(device.get(there), weights, equal_nan=True)
        assert apply_mask(there, mask, out=there) is there
        assert device.get(there).tobytes() == want.tobytes()


def test_float64_and_bfloat16_weights(device):
    weights, mask = drawn(50, "float64"), pack_mask(drawn(50, seed=1) > 0)
    kept = unpack_mask(mask)
    got = device.get(apply_mask(device.put(weights), mask))
    assert np.array_equal(got, np.where(kept, weights / float(mask.divisor), 0))
    if device.library.name != "torch":
        return
    tensor = device.put(np.append(weights[:-1], np.nan).astype(np.float32)).bfloat16()
    want = device.put(kept).logical_not().logical_or(tensor.isnan()).logical_not()
    exact = (tensor.float() / float(mask.divisor)).bfloat16()
    got = apply_mask(tensor, mask)
    assert got.dtype == tensor.dtype
    assert bool((got[want] == exact[want]).all())
    assert bool((got[~device.put(kept)] == 0).all())
    assert bool(got[-1].isnan()) == bool(kept[-1])


def test_shapes_are_kept_and_checked(device):
    weights, mask = drawn(60).reshape(3, 4, 5), pack_mask(drawn(60, seed=1).reshape(3, 4, 5) > 0)
    got = (
        apply_mask(device.put(np.ascontiguousarray(weights.transpose(2, 1, 0))).transpose(2, 1, 0), mask)
        if (device.library.name == "cupy")
        else apply_mask(device.put(np.ascontiguousarray(weights.transpose(2, 1, 0))).permute(2, 1, 0), mask)
    )
    assert device.get(got).tobytes() == apply_mask(weights, mask).tobytes()
    with pytest.raises(InvalidInput, match=r"weights must have the mask's shape \(3, 4, 5\), got \(60,\)"):
        apply_mask(device.put(weights.ravel()), mask)
    with pytest.raises(InvalidInput, match="out must be float32, got float64"):
        apply_mask(device.put(weights), mask, out=device.put(weights.astype(float)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (16, 24), (5, 65)])
def test_a_stack_applies_all_its_masks_in_one_reading(device, shape):
    stack = MaskStack([pack_mask(drawn(shape[0] * shape[1], seed=s).reshape(shape) > 0.2 * s) for s in range(4)])
    weights = drawn(shape[0] * shape[1], seed=9).reshape(shape)
    for dtype in (np.float32, np.float16):
        want = stack.apply(weights.astype(dtype))
        assert np.array_equal(want, np.stack([apply_mask(weights.astype(dtype), mask) for mask in stack.masks]))
        assert device.get(stack.apply(device.put(weights.astype(dtype)))).tobytes() == want.tobytes()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 70])
def test_a_linear_map_with_a_mask_per_sample(device, n):
    d_out, d_in = 6, 37
    rng = np.random.default_rng(n)
    stack = MaskStack([pack_mask(rng.random((d_out, d_in)) < rate) for rate in (0.9, 0.4, 0.0)])
    x, weight, bias = (rng.normal(size=size).astype(np.float32) for size in ((n, d_in), (d_out, d_in), d_out))
    sites = rng.integers(-1, 3, n)
    masked = [stack.masks[s] for s in sites if s >= 0]
    exact = np.stack(
        [
            x[b].astype(float) @ (weight if s < 0 else apply_mask(weight, stack.masks[s])).astype(float).T + bias
            for b, s in enumerate(sites)
        ]
    )
    assert n < 7 or masked
    got = stack.linear(device.put(x), device.put(weight), sites, device.put(bias))
    np.testing.assert_allclose(device.get(got), exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(stack.linear(x, weight, sites, bias), exact, rtol=1e-5, atol=1e-5)
    with device.descending():
        again = stack.linear(device.put(x), device.put(weight), device.put(sites), device.put(bias))
    assert device.get(again).tobytes() == device.get(got).tobytes()
    for wrong, message in (
        (np.full(n, 3), r"sites must lie in -1..2, got 3 .. 3"),
        (sites[:-1], f"sites must hold one integer per row of x \\({n}\\)"),
    ):
        with pytest.raises(InvalidInput, match=message):
            stack.linear(device.put(x), device.put(weight), wrong)


def test_wrong_stacks_are_refused():
    with pytest.raises(InvalidInput, match="masks must hold at least one mask, all of one shape"):
        MaskStack([pack_mask(np.ones(3, bool)), pack_mask(np.ones(4, bool))])
    with pytest.raises(InvalidInput, match="linear needs masks of a matrix"):
        MaskStack([pack_mask(np.ones(3, bool))]).linear(np.ones((1, 3), np.float32), np.ones(3, np.float32), [0])


@pytest.mark.parametrize("by", [1, -1, 700])
def test_an_overlapping_target_gets_what_the_weights_were(device, by):
    whole, mask = drawn(1500), pack_mask(drawn(800, seed=1) > 0)
    first, to = (0, by) if by > 0 else (-by, 0)
    want = apply_mask(whole[first : first + 800].copy(), mask)
    there = device.put(whole)
    apply_mask(there[first : first + 800], mask, out=there[to : to + 800])
    assert device.get(there)[to : to + 800].tobytes() == want.tobytes()


def test_bits_that_are_kept_have_arrived_for_every_stream(device, monkeypatch):
    library, waited = device.library, []

    class Listening:
        def __getattr__(self, name):
            return waited.append if name == "synchronize" else getattr(kernels, name)

    kernels, weights = library.kernels, device.put(drawn(24).reshape(4, 6))
    monkeypatch.setattr(library, "kernels", Listening())
    monkeypatch.setattr(library, "stream", lambda number: 0)
    stack = MaskStack([pack_mask(np.ones((4, 6), bool))])
    for _ in range(3):
        stack.apply(weights)
    assert waited == [0]


def test_a_linear_map_names_what_does_not_fit(device):
    stack = MaskStack([pack_mask(np.ones((4, 6), bool))])
    x, weight, bias = (np.ones(shape, np.float32) for shape in ((5, 6), (4, 6), 4))
    for wrong, message in (
        ((x, weight[:1], bias), r"weight must have shape \(4, 6\), as the masks have it, got \(1, 6\)"),
        ((x, weight[:, :3], bias), r"weight must have shape \(4, 6\)"),
        ((x, weight, bias[:1]), r"bias must have shape \(4,\), as the masks have it, got \(1,\)"),
        ((x, weight, np.ones((5, 1), np.float32)), r"bias must have shape \(4,\)"),
        ((x[0], weight, bias), r"x must be an array with rows of 6 numbers.* got \(6,\)"),
        ((x[:, :4], weight, bias), r"x must be an array with rows of 6 numbers.* got \(5, 4\)"),
    ):
        sites = np.full(5, -1)
        with pytest.raises(InvalidInput, match=message):
            stack.linear(wrong[0], wrong[1], sites, wrong[2])
        with pytest.raises(InvalidInput, match=message):
            stack.linear(*map(device.put, wrong[:2]), sites, device.put(wrong[2]))


def test_the_cpu_and_other_devices_are_told_apart(device, monkeypatch):
    """A kernel that were given an address of the host, or of another card, would end the program's use of the card."""
    library, weights, mask = device.library, drawn(24).reshape(4, 6), pack_mask(np.ones((4, 6), bool))
    stack, x, sites = MaskStack([mask]), drawn(30).reshape(5, 6), np.zeros(5, np.int64)
    if device.name != "emulated-torch":  # where every tensor of the CPU counts as one of the device
        with pytest.raises(InvalidInput, match="weight must be in device memory, as the other arrays are, got ndarray"):
            stack.linear(device.put(x), weights, sites)
        with pytest.raises(InvalidInput, match="bias must be in device memory"):
            stack.linear(device.put(x), device.put(weights), sites, np.zeros(4, np.float32))
        with pytest.raises(InvalidInput, match="out must be in device memory"):
            apply_mask(device.put(weights), mask, out=np.empty_like(weights))
    there, target, bias = device.put(weights), device.put(weights), device.put(np.zeros(4, np.float32))
    monkeypatch.setattr(library, "device", lambda array: int(array.shape == target.shape))
    with pytest.raises(InvalidInput, match="weight is on device 1, the other arrays on device 0"):
        stack.linear(device.put(x), there, sites)
    monkeypatch.setattr(library, "device", lambda array: int(array.shape == bias.shape))
    with pytest.raises(InvalidInput, match="bias is on device 1, the other arrays on device 0"):
        stack.linear(device.put(x), there, sites, bias)
    numbers = iter([0, 1, 1])
    monkeypatch.setattr(library, "device", lambda array: next(numbers))
    with pytest.raises(InvalidInput, match="out is on device 1, the other arrays on device 0. Move one of them"):
        apply_mask(there, mask, out=target)


def test_an_adapted_network_goes_to_the_device_as_bits(device):
    torch = pytest.importorskip("torch")
    if device.library.name != "torch":
        pytest.skip("networks are Torch's")
    from oneglance.masks.layer import apply_mask as by_torch
    from oneglance.masks.self_mask import _masked

    weight, mask = drawn(54).reshape(6, 3, 3), pack_mask(drawn(54, seed=1).reshape(6, 3, 3) > 0)
    want = by_torch(torch.from_numpy(weight), torch.from_numpy(unpack_mask(mask)))
    assert device.get(_masked(device.put(weight), mask)).tobytes() == want.numpy().tobytes()


HARD = {
    "equal": np.zeros((8, 3)),
    "one sample": drawn(5, "float64").reshape(1, 5),
    "one prototype": drawn(5, "float64").reshape(5, 1),
    "cosines": np.clip(drawn(65 * 40, "float32").reshape(65, 40) / 3, -1, 1),
    "huge": drawn(28, "float64").reshape(7, 4) * 1e6,
    "limit": np.array([[1e38, -1e38], [-1e38, 1e38]], dtype=np.float32),
    "collapsed": np.eye(16, dtype=np.float32)[np.zeros(64, dtype=int)],
    "half": drawn(180, "float16").reshape(9, 20),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("eps", [1e-3, 0.05, 1.0, 1e-30])
def test_codes_are_those_of_torch(device, name, eps):
    torch = pytest.importorskip("torch")
    from oneglance.cuda import device_rows
    from oneglance.cuda.sinkhorn import sinkhorn

    scores = HARD[name]
    plan = torch.from_numpy(scores).double()
    plan = ((plan - plan.max()) / eps).clamp(min=-1e30)
    for n_iterations in (0, 1, 3):
        got = device.get(sinkhorn(device_rows(device.put(scores), "scores", device.library), eps, n_iterations))
        want = plan
        for _ in range(n_iterations):
            want = torch.log_softmax(torch.log_softmax(want, dim=0), dim=1)
        np.testing.assert_allclose(got, want.exp().numpy(), rtol=1e-9, atol=1e-12)
    assert np.abs(got.sum(axis=1) - 1).max() <= 1e-12


def test_the_public_codes_come_from_the_device(device):
    if device.library.name != "torch":
        pytest.skip("codes are Torch's")
    from oneglance.masks.sinkhorn import sinkhorn_codes

    scores = device.put(HARD["cosines"])
    codes = sinkhorn_codes(scores[::2], 0.05)  # rows with a stride
    assert codes.dtype == scores.dtype
    assert float((codes.sum(dim=1) - 1).abs().max()) <= 1e-6
