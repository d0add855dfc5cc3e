"""Packed masks and their coders agree with their definitions to the bit, for every instruction set and thread count."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import mask_battery
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_battery import HALVES, SIZES, scores_of, weights_of

from oneglance import InvalidInput, _core
from oneglance.masks import (
    BitMask,
    apply_mask,
    decode_masks,
    encode_masks,
    pack_mask,
    pack_scores,
    unpack_mask,
    xor_masks,
)
from oneglance.reference import mask_bits
from oneglance.store.files import digest

ISAS = _core.build_info()["isa_runnable"]


def same_bits(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    # NaN may carry any payload; everything else has its bits compared, so that -0 is not +0.
    nan = np.isnan(want) if want.dtype.kind == "f" else np.zeros(want.shape, dtype=bool)
    assert (np.isnan(got) == nan).all() if want.dtype.kind == "f" else True
    assert got[~nan].tobytes() == want[~nan].tobytes()


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    @cache
    def of(isa, threads):
        out = tmp_path_factory.mktemp("masks") / "answers.npz"
        environment = {**os.environ, "ONEGLANCE_ISA": isa, "OMP_NUM_THREADS": str(threads)}
        script = Path(mask_battery.__file__)
        subprocess.run([sys.executable, str(script), str(out)], env=environment, check=True, timeout=300)
        with np.load(out) as saved:
            return {key: saved[key] for key in saved.files}

    return of


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("isa", ISAS)
def test_bits_equal_their_definition(isa, n, answers):
    found = answers(isa, 1)
    assert str(found["isa"]) == isa
    third = mask_bits.pack(np.arange(n) % 3 == 0)
    bits = mask_bits.pack_scores(scores_of(n), 0.0)
    same_bits(found[f"scores/{n}"], bits)
    same_bits(found[f"scores above/{n}"], mask_bits.pack_scores(scores_of(n), 0.25))
    same_bits(found[f"pack/{n}"], third)
    same_bits(found[f"pack bytes/{n}"], mask_bits.pack(np.arange(n) % 5))
    same_bits(found[f"xor/{n}"], bits ^ third)
    assert found[f"kept/{n}"].tolist() == [mask_bits.popcount(part) for part in (bits, third, bits ^ third)]
    same_bits(found[f"unpack/{n}"], mask_bits.unpack(bits, 0, n))
    same_bits(found[f"range/{n}"], mask_bits.unpack(bits, n // 3, n - n // 5))
    for dtype in (np.float32, np.float16):
        same_bits(found[f"apply {dtype.__name__}/{n}"], mask_bits.apply(weights_of(n, dtype), bits))


@pytest.mark.parametrize("kept", [1, 40_000, 65_536])
@pytest.mark.parametrize("isa", ISAS)
def test_every_float16_is_divided_and_rounded_as_defined(isa, kept, answers):
    same_bits(answers(isa, 1)[f"halves/{kept}"], mask_bits.apply(HALVES, mask_bits.pack(np.arange(2**16) < kept)))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_outputs_beyond_the_caches_are_the_same_at_every_alignment(dtype, answers):
    weights, mask = mask_battery.large(dtype)
    room = np.zeros(mask.n_weights + 33, dtype=dtype)
    for shift in mask_battery.SHIFTS:
        room[:] = 0
        room[shift:][: mask.n_weights] = mask_bits.apply(weights, mask.bits)
        for isa in ISAS:
            assert answers(isa, 1)[f"large {dtype.__name__}/{shift}"].tobytes().decode() == digest(room)


@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets_and_threads_give_the_same_bytes(isa, answers):
    first, second = answers(ISAS[0], 1), answers(isa, 2)
    assert first.keys() == second.keys()
    for key in first:
        if key != "isa":
            same_bits(second[key], first[key])


def test_two_threads_give_the_bytes_of_one_on_tensors_large_enough_for_two():
    """About 140 MB are touched per call; a thread more is woken per 64 MB."""
    scores = np.resize(scores_of(1_000_003), 34_000_019)
    weights = np.resize(weights_of(1_000_003, np.float32), scores.size)
    found = []
    try:
        for threads in (1, 2):
            _core.set_threads(threads)
            mask = pack_scores(scores)
            found.append((mask.bits, mask.kept, apply_mask(weights, mask).view(np.uint32)))
    finally:
        _core.set_threads(0)
    (bits, kept, applied), (bits2, kept2, applied2) = found
    assert kept == kept2 == int((scores > 0).sum())
    assert np.array_equal(bits, bits2)
    assert np.array_equal(applied, applied2)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (3, 3), (1, 2), (5, 8), (7, 77), (8, 80), (13, 1000), (999, 1000)])
def test_any_range_is_unpacked(start, stop):
    mask = pack_scores(scores_of(1000))
    same_bits(unpack_mask(mask, start, stop), unpack_mask(mask)[start:stop])


def test_shapes_scalars_and_strides_are_kept():
    weights = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4) - 5)
    mask = pack_scores(weights[:, ::2])
    assert mask.shape == (3, 2)
    assert (unpack_mask(mask) == (weights[:, ::2] > 0)).all()
    assert (apply_mask(weights[:, ::2], mask) == mask_bits.apply(weights[:, ::2], mask.bits)).all()
    scalar = pack_mask(np.array(True))
    assert scalar.shape == ()
    assert apply_mask(np.float32(3), scalar) == 3


def test_out_may_be_the_weights_or_overlap_them():
    mask = pack_scores(scores_of(1000))
    buffer = np.random.default_rng(0).normal(size=1001).astype(np.float32)
    want = mask_bits.apply(buffer[:1000], mask.bits)
    apart = np.empty(1000, dtype=np.float32)
    assert apply_mask(buffer[:1000], mask, out=apart) is apart
    same_bits(apart, want)
    shifted = buffer.copy()
    apply_mask(shifted[:1000], mask, out=shifted[1:])
    same_bits(shifted[1:], want)
    apply_mask(buffer[:1000], mask, out=buffer[:1000])
    same_bits(buffer[:1000], want)


def test_nothing_kept_counts_as_one_kept():
    mask = pack_mask(np.zeros((4, 4), dtype=bool))
    assert mask.kept == 0
    assert mask.divisor == np.float32(0.25)
    assert not apply_mask(np.ones((4, 4), dtype=np.float32), mask).any()
    assert pack_mask(np.zeros(0, dtype=bool)).divisor == 1


def test_torch_tensors_come_and_go_in_place():
    torch = pytest.importorskip("torch", reason="tensors need torch")
    weights = torch.randn(5, 3, requires_grad=True)
    mask = pack_scores(weights)
    assert (unpack_mask(mask) == (weights.detach().numpy() > 0)).all()
    out = torch.empty(5, 3)
    assert apply_mask(weights, mask, out=out) is out
    want = weights.detach() * torch.tensor(unpack_mask(mask)) / float(mask.divisor)
    assert torch.equal(out, want)


def test_mistakes_are_named():
    scores = scores_of(65)
    scores[-1] = np.nan
    with pytest.raises(InvalidInput, match="scores must not be NaN, got 1 of 65"):
        pack_scores(scores)
    with pytest.raises(InvalidInput, match="scores must be float32, got float64"):
        pack_scores(np.zeros(3))
    with pytest.raises(InvalidInput, match="mu must be a number"):
        pack_scores(scores_of(3), np.nan)
    mask = pack_mask(np.ones((2, 5), dtype=bool))
    with pytest.raises(InvalidInput, match=r"weights must have the mask's shape \(2, 5\), got \(10,\)"):
        apply_mask(np.ones(10, dtype=np.float32), mask)
    with pytest.raises(InvalidInput, match="out must be float32, got float16"):
        apply_mask(np.ones((2, 5), dtype=np.float32), mask, out=np.ones((2, 5), dtype=np.float16))
    with pytest.raises(InvalidInput, match="out must be a writeable, contiguous array"):
        apply_mask(np.ones((2, 5), dtype=np.float32), mask, out=np.ones((5, 2), dtype=np.float32).T)
    with pytest.raises(InvalidInput, match=r"start and stop must lie in 0\.\.10"):
        unpack_mask(mask, 4, 11)
    with pytest.raises(InvalidInput, match="a and b must have one shape"):
        xor_masks(mask, pack_mask(np.ones(10, dtype=bool)))
    with pytest.raises(InvalidInput, match=r"bits must be uint8 of shape \(2,\)"):
        BitMask((2, 5), np.zeros(3, dtype=np.uint8), 0)
    with pytest.raises(InvalidInput, match="bits after weight 9 must be 0"):
        BitMask((2, 5), np.array([0, 4], dtype=np.uint8), 1)
    with pytest.raises(InvalidInput, match="kept must be the number of ones in bits, 1, got 2"):
        BitMask((2, 5), np.array([0, 2], dtype=np.uint8), 2)
    with pytest.raises(ValueError, match="read-only"):
        mask.bits[0] = 0


# --- coders ---------------------------------------------------------------------------------------------------------

CODERS = ("auto", "smallest", "raw", "bytes", "adaptive", "magnitude")


def entropy_bytes(mask):
    p = np.array([mask.keep_rate, 1 - mask.keep_rate])
    return -mask.n_weights * (p[p > 0] * np.log2(p[p > 0])).sum() / 8


def assert_round_trip(flags, coder):
    mask = pack_mask(flags)
    weights = {"w": np.random.default_rng(flags.size).normal(size=flags.shape).astype(np.float32)}
    stream = encode_masks({"w": mask}, coder=coder, weights=weights)["w"]
    back = decode_masks({"w": stream}, {"w": mask.shape}, weights=weights)["w"]
    assert back.bits.tobytes() == mask.bits.tobytes()
    assert (back.kept, back.shape) == (mask.kept, mask.shape)
    assert stream.size <= 24 + mask.bits.size
    return stream


@settings(max_examples=60, deadline=None)
@given(
    n=st.one_of(st.integers(0, 300), st.integers(0, 40_000)),
    kept=st.one_of(st.sampled_from([0.0, 1e-4, 0.02, 0.5, 0.98, 0.9999, 1.0]), st.floats(0, 1)),
    run=st.sampled_from([1, 8, 9, 500]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_encoded_comes_back(n, kept, run, seed):
    """Independent bits, and bits in runs of one value."""
    flags = np.repeat(np.random.default_rng(seed).random(n // run + 1) < kept, run)[:n]
    for coder in CODERS:
        assert_round_trip(flags, coder)


@settings(max_examples=100, deadline=None)
@given(flags=st.lists(st.booleans(), max_size=80))
def test_any_short_mask_comes_back(flags):
    for coder in CODERS:
        assert_round_trip(np.array(flags, dtype=bool), coder)


@pytest.mark.parametrize("coder", ["auto", "bytes", "smallest"])
@pytest.mark.parametrize("kept", [0.003, 0.08, 0.3, 0.5, 0.75, 0.925, 0.97, 0.99, 0.999])
def test_the_fast_coder_is_within_three_percent_of_the_entropy(kept, coder):
    mask = pack_mask(np.random.default_rng(1).random(2_000_000) < kept)
    stream = encode_masks({"w": mask}, coder=coder)["w"]
    assert entropy_bytes(mask) <= stream.size + 40  # nobody gets under it but by luck
    assert stream.size <= 1.03 * entropy_bytes(mask) + 40


def test_magnitudes_save_what_they_tell():
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=200_000).astype(np.float32)}
    mask = pack_mask(rng.random(200_000) < np.where(np.abs(weights["w"]) > 1, 0.999, 0.85))
    plain = encode_masks({"w": mask}, coder="adaptive")["w"]
    told = encode_masks({"w": mask}, coder="smallest", weights=weights)["w"]
    assert told.size < 0.9 * plain.size  # 0.88 of the entropy
    assert decode_masks({"w": told}, {"w": mask.shape}, weights=weights)["w"].bits.tobytes() == mask.bits.tobytes()
    with pytest.raises(InvalidInput, match="coded with the base's weights, which are needed to read it"):
        decode_masks({"w": told}, {"w": mask.shape})
    with pytest.raises(InvalidInput, match='"magnitude" needs the base\'s weights'):
        encode_masks({"w": mask}, coder="magnitude")
    half = {"w": weights["w"].astype(np.float16)}
    with pytest.raises(InvalidInput, match="the stream of w cannot be decoded"):
        decode_masks({"w": told}, {"w": mask.shape}, weights={"w": -half["w"][::-1]})


@pytest.mark.parametrize("coder", ["raw", "bytes", "adaptive", "magnitude"])
@pytest.mark.parametrize("kept", [0.02, 0.9, 1.0])
def test_a_changed_stream_is_refused_or_is_no_change(kept, coder):
    """Any flipped bit, any cut, any byte more; a stream has one spelling, so nothing but it may be accepted."""
    rng = np.random.default_rng(3)
    mask = pack_mask(rng.random(3001) < kept)
    weights = {"w": rng.normal(size=3001).astype(np.float32)}
    stream = encode_masks({"w": mask}, coder=coder, weights=weights)["w"].tobytes()
    changed = [stream[:cut] for cut in range(len(stream))] + [stream + b"\0", stream + b"\xff", b""]
    for at in range(len(stream)):
        changed += [stream[:at] + bytes([stream[at] ^ (1 << bit)]) + stream[at + 1 :] for bit in range(8)]
    for damaged in changed:
        with pytest.raises(InvalidInput, match="the stream of w cannot be decoded"):
            decode_masks({"w": np.frombuffer(damaged, dtype=np.uint8)}, {"w": (3001,)}, weights=weights)


@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=200), coder=st.integers(0, 4), n=st.integers(1, 5000), ones=st.integers(0, 5000))
def test_arbitrary_bytes_are_refused(stream, coder, n, ones):
    """With a header that looks right, so that the payload is read as one."""

    def number(value):
        return bytes([value & 0x7F | 0x80, value >> 7]) if value > 0x7F else bytes([value])

    whole = bytes([coder]) + number(n) + number(ones) + stream
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        decode_masks({"w": np.frombuffer(whole, dtype=np.uint8)}, {"w": (n,)})


def test_mistakes_with_coders_are_named():
    mask = pack_mask(np.ones(9, dtype=bool))
    with pytest.raises(InvalidInput, match=r"coder must be one of .*'auto'.*, got 'zip'"):
        encode_masks({"w": mask}, coder="zip")
    with pytest.raises(InvalidInput, match=r"weights\['w'\] must have the mask's shape \(9,\), got \(3, 3\)"):
        encode_masks({"w": mask}, coder="smallest", weights={"w": np.ones((3, 3), dtype=np.float32)})
    streams = encode_masks({"w": mask})
    with pytest.raises(InvalidInput, match="it holds 9 weights where 10 were needed"):
        decode_masks(streams, {"w": (10,)})
    with pytest.raises(InvalidInput, match="shapes must hold a shape for each stream, none for 'w'"):
        decode_masks(streams, {})
