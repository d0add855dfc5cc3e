"""Mask files: what is written comes back, what belongs elsewhere is refused, and no damage passes unseen."""

import errno
import io
import json
import os
import tracemalloc
import zlib

import numpy as np
import pytest

from oneglance.errors import InvalidInput, StoreError
from oneglance.masks import (
    BitMask,
    MaskState,
    container,
    masks_hash,
    pack_mask,
    pack_scores,
    read_mask_file,
    weights_hash,
    write_mask_file,
    xor_masks,
)
from oneglance.masks.container import read_container, write_container
from oneglance.store.files import digest

SHAPES = {
    "conv1.weight": (16, 3, 3, 3),
    "conv2.weight": (40, 16, 3, 3),
    "odd": (7,),
    "fc": (30, 100),
    "none": (0, 3),
}


def base():
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    return {**weights, "fc.bias": rng.normal(size=30).astype(np.float16), "steps": np.array(3)}


def state(kept=0.92, seed=1, **metadata):
    rng = np.random.default_rng(seed)
    masks = {name: pack_mask(rng.random(shape) < kept) for name, shape in SHAPES.items()}
    buffers = {
        "bn.running_mean": rng.normal(size=16).astype(np.float16),
        "bn.running_var": rng.random(16).astype(np.float32),
        "bn.num_batches_tracked": np.array(7),
    }
    return MaskState(masks, buffers, metadata)


def assert_same(got, want):
    assert list(got.masks) == list(want.masks)
    for name, mask in want.masks.items():
        assert got.masks[name].shape == mask.shape
        assert got.masks[name].bits.tobytes() == mask.bits.tobytes()
        assert got.masks[name].kept == mask.kept
    assert got.buffers.keys() == want.buffers.keys()
    for name, array in want.buffers.items():
        assert got.buffers[name].dtype == array.dtype
        assert got.buffers[name].shape == array.shape
        assert got.buffers[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("coder", ["auto", "smallest", "raw"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.92, 1.0])
def test_what_is_written_comes_back(tmp_path, kept, coder):
    path = tmp_path / "new folder" / "a.safetensors"
    mine = state(kept, base="resnet20", preprocessing={"size": [32, 32], "mean": [0.5]}, note="Ä\n", mu=0.25)
    sizes = write_mask_file(path, mine, base_weights=base(), coder=coder)
    found = read_mask_file(path, base_weights=base())
    assert_same(found, mine)
    assert found.metadata == {**mine.metadata, "bn": "stored"}
    assert sizes.file_bytes == path.stat().st_size
    assert sizes.file_bytes == sizes.header_bytes + sizes.mask_bytes + sizes.buffer_bytes
    assert found.buffers["bn.running_mean"].flags.writeable


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_mask_file(tmp_path / name, state(), base_weights=dict(reversed(base().items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_sizes_count_everything(tmp_path):
    mine = MaskState(
        {"w": pack_mask(np.random.default_rng(0).random(400_000) < 0.92)}, {"m": np.zeros(500, np.float16)}
    )
    sizes = write_mask_file(tmp_path / "a", mine)
    assert sizes.n_weights == 400_000
    assert 0.40 < sizes.mask_bits_per_weight < sizes.file_bits_per_weight < 0.45
    assert sizes.times_smaller() == pytest.approx(4 * 400_000 / (tmp_path / "a").stat().st_size)
    assert sizes.times_smaller(16) == pytest.approx(sizes.times_smaller() / 2)
    assert sizes.times_smaller(buffers=False) == pytest.approx(1.6e6 / (sizes.file_bytes - 1000))
    assert "92" in str(sizes)
    assert "times smaller than float32" in str(sizes)


def test_others_can_open_the_file(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is an extra")
    from safetensors import safe_open

    write_mask_file(tmp_path / "a", state(base="x"), base_weights=base())
    tensors = library.load_file(tmp_path / "a")
    assert set(tensors) == {"masks", "index", "buffers.F16", "buffers.F32", "buffers.I64"}
    assert tensors["buffers.F32"].tobytes() == state().buffers["bn.running_var"].tobytes()
    with safe_open(tmp_path / "a", "numpy") as file:
        assert file.metadata()["base_hash"] == weights_hash(base())
    entries = json.loads(zlib.decompress(tensors["index"].tobytes()))["masks"]
    assert [(name, tuple(shape)) for name, shape, _ in entries] == list(SHAPES.items())
    assert sum(n_bytes for _, _, n_bytes in entries) == tensors["masks"].size


# --- base and parent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda base: base["conv1.weight"].__setitem__((0, 0, 0, 0), 9),
        lambda base: base.update({"fc.bias": base["fc.bias"].astype(np.float32)}),
        lambda base: base.update({"conv1.weight": base["conv1.weight"].reshape(48, 9)}),
        lambda base: base.update({"extra": np.zeros(1)}),
        lambda base: base.pop("steps"),
        lambda base: base.update({"steps2": base.pop("steps")}),
        lambda base: base.update({"odd": -base["odd"]}),
    ],
)
def test_another_base_is_refused_by_both_hashes(tmp_path, change):
    write_mask_file(tmp_path / "a", state(), base_weights=base())
    other = base()
    change(other)
    with pytest.raises(InvalidInput, match="base_weights") as raised:
        read_mask_file(tmp_path / "a", base_weights=other)
    assert weights_hash(base()) in str(raised.value)
    assert weights_hash(other) in str(raised.value)


def test_the_hash_is_of_values_not_of_layout():
    torch = pytest.importorskip("torch", reason="tensors need torch")
    weights = base()
    again = {name: np.array(array, order="F") for name, array in reversed(weights.items())}
    assert weights_hash(again) == weights_hash(weights)
    assert weights_hash({n: torch.tensor(a) for n, a in weights.items()}) == weights_hash(weights)
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in weights.items()}
    assert weights_hash(swapped) == weights_hash(weights)
    half = torch.tensor(weights["odd"]).bfloat16()
    assert weights_hash({"w": half}) != weights_hash({"w": half.float()})
    assert weights_hash({"w": half}) == weights_hash({"w": half.clone()})
    assert weights_hash({"a": np.zeros(2), "b": np.zeros(0)}) != weights_hash({"a": np.zeros(0), "b": np.zeros(2)})
    with pytest.raises(InvalidInput, match="w must hold numbers, got dtype <U1"):
        weights_hash({"w": np.array(["x"])})


def test_a_file_without_hash_says_so(tmp_path):
    write_mask_file(tmp_path / "a", state())
    assert_same(read_mask_file(tmp_path / "a"), state())
    with pytest.raises(StoreError, match="does not say which base_weights it belongs to"):
        read_mask_file(tmp_path / "a", base_weights=base())


def test_masks_and_base_must_fit(tmp_path):
    without = base()
    del without["odd"]
    with pytest.raises(InvalidInput, match="base_weights has no 'odd', which has a mask"):
        write_mask_file(tmp_path / "a", state(), base_weights=without)
    with pytest.raises(InvalidInput, match=r"base_weights\['odd'\] has shape \(8,\), its mask \(7,\)"):
        write_mask_file(tmp_path / "a", state(), base_weights={**base(), "odd": np.zeros(8, np.float32)})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("coder", ["auto", "smallest"])
def test_an_expert_is_what_differs_from_its_parent(tmp_path, coder):
    parent = state(0.9)
    changed = {
        name: xor_masks(mask, pack_mask(np.random.default_rng(9).random(mask.shape) < 0.02))
        for name, mask in parent.masks.items()
    }
    changed["only here"] = pack_mask(np.arange(50) % 3 == 0)
    expert = MaskState(changed, parent.buffers)
    alone = write_mask_file(tmp_path / "alone", expert, coder=coder)
    small = write_mask_file(tmp_path / "expert", expert, parent=parent, coder=coder)
    assert small.mask_bytes < 0.6 * alone.mask_bytes
    assert_same(read_mask_file(tmp_path / "expert", parent=parent), expert)
    assert_same(read_mask_file(tmp_path / "expert", parent=parent.masks), expert)
    with pytest.raises(
        InvalidInput, match=f"parent: .* holds differences .* hash {masks_hash(parent.masks)}; pass them"
    ):
        read_mask_file(tmp_path / "expert")
    with pytest.raises(InvalidInput, match=f"{masks_hash(parent.masks)}, got {masks_hash(state(0.5).masks)}"):
        read_mask_file(tmp_path / "expert", parent=state(0.5))


def test_magnitudes_need_the_base_to_be_read(tmp_path):
    weights = {"w": np.random.default_rng(0).normal(size=30_000).astype(np.float32)}
    mine = MaskState({"w": pack_scores(np.abs(weights["w"]) - 0.1)})
    write_mask_file(tmp_path / "a", mine, base_weights=weights)
    assert_same(read_mask_file(tmp_path / "a", base_weights=weights), mine)
    with pytest.raises(InvalidInput, match=r"base_weights: .* was written with the base's weights.*smallest"):
        read_mask_file(tmp_path / "a")


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_metadata_are_checked(tmp_path):
    for metadata, words in [
        ({"bn": "train"}, r"metadata\[\"bn\"\] must be one of"),
        ({"x": float("nan")}, "metadata must hold JSON values"),
        ({"x": {1, 2}}, "metadata must hold JSON values"),
        ({3: "x"}, "metadata must hold JSON values"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            write_mask_file(tmp_path / "a", MaskState(state().masks, state().buffers, metadata))
    with pytest.raises(InvalidInput, match=r'metadata\["bn"\] is "stored", but there are no buffers'):
        write_mask_file(tmp_path / "a", MaskState(state().masks, {}, {"bn": "stored"}))
    with pytest.raises(InvalidInput, match="must hold at least one mask"):
        write_mask_file(tmp_path / "a", MaskState({}))
    with pytest.raises(InvalidInput, match="buffers: b must be float16, float32 or int64, got float64"):
        write_mask_file(tmp_path / "a", MaskState(state().masks, {"b": np.zeros(3)}))
    assert not (tmp_path / "a").exists()
    write_mask_file(tmp_path / "a", MaskState(state().masks, {}, {"bn": "re-estimate"}))
    assert read_mask_file(tmp_path / "a").metadata["bn"] == "re-estimate"
    write_mask_file(tmp_path / "a", MaskState(state().masks))
    assert read_mask_file(tmp_path / "a").metadata == {"mu": 0.0, "bn": "base"}


def test_other_files_are_told_apart(tmp_path):
    with pytest.raises(StoreError, match="no mask file at .*: No such file"):
        read_mask_file(tmp_path / "none")
    with pytest.raises(StoreError, match="no mask file at .*: Is a directory"):
        read_mask_file(tmp_path)
    (tmp_path / "text").write_text("hello, this is no mask file at all")
    with pytest.raises(StoreError, match="or it is no mask file"):
        read_mask_file(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(StoreError, match="it has 0 bytes"):
        read_mask_file(tmp_path / "empty")
    for name, header in [
        ("plain", {"w": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        ("foreign", {"__metadata__": {"format": "pt"}}),
    ]:
        text = json.dumps(header).encode()
        (tmp_path / name).write_bytes(len(text).to_bytes(8, "little") + text)
        with pytest.raises(StoreError, match="is no mask file"):
            read_mask_file(tmp_path / name)


@pytest.mark.parametrize(("other", "cure"), [(b"3", "Update oneglance"), (b"1", "Write the masks again")])
def test_another_version_is_refused_by_name(tmp_path, other, cure):
    write_mask_file(tmp_path / "a", state())
    whole = (tmp_path / "a").read_bytes()
    assert whole.count(b'"version":"2"') == 1
    (tmp_path / "a").write_bytes(whole.replace(b'"version":"2"', b'"version":"' + other + b'"'))
    with pytest.raises(StoreError, match=f"version '{other.decode()}', this oneglance reads 2. {cure}"):
        read_mask_file(tmp_path / "a")


def test_a_full_disk_and_a_closed_folder_leave_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_mask_file(path, state())
    before = path.read_bytes()
    for number, words in [(errno.ENOSPC, "disk full while writing"), (errno.EACCES, "cannot write .* Choose a folder")]:

        def refuse(handle, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match=words):
            write_mask_file(path, state(0.3))
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(StoreError, match="is a file, a folder is needed"):
        write_mask_file(path / "below", state())


# --- damage -----------------------------------------------------------------------------------------------------------


def corruptions(whole, header_bytes, rng):
    """Endless: bit flips, bytes set, cut, inserted, removed, moved, zeroed; headers edited as text."""
    n = len(whole)
    words = [
        b'"',
        b"0",
        b"1",
        b"{",
        b"}",
        b"null",
        b"1e999",
        b"-1",
        b"[[[[",
        b"\\u0000",
        b",",
        b" ",
        b"9" * 30,
        b".mask",
    ]
    while True:
        kind = rng.integers(9)
        at = int(rng.integers(n))
        span = int(min(n - at, rng.integers(1, 40)))
        edited = bytearray(whole)
        if kind == 0:
            edited[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            for _ in range(int(rng.integers(2, 20))):
                edited[int(rng.integers(n))] = int(rng.integers(256))
        elif kind == 2:
            del edited[at:]
        elif kind == 3:
            edited[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 4:
            del edited[at : at + span]
        elif kind == 5:
            edited[at : at + span] = bytes(span)
        elif kind == 6:
            to = int(rng.integers(n))
            edited[to : to + span] = edited[at : at + span]
        elif kind == 7:
            edited += rng.bytes(int(rng.integers(1, 50)))
        else:
            spot = int(rng.integers(header_bytes))
            edited[spot : spot + int(rng.integers(3))] = words[int(rng.integers(len(words)))]
        if bytes(edited) != whole:
            yield bytes(edited)


def written(tmp_path, coder="auto"):
    path = tmp_path / "whole"
    sizes = write_mask_file(path, state(preprocessing={"size": [32, 32]}), base_weights=base(), coder=coder)
    return path.read_bytes(), sizes.header_bytes


@pytest.fixture
def read(monkeypatch):
    """read(content): the file's content comes from memory, which is ten times as fast as a new file each time."""

    def run(content, **arguments):
        monkeypatch.setattr(container, "open", lambda path, mode: io.BytesIO(content), raising=False)
        return read_mask_file("damaged", **arguments)

    return run


def test_ten_thousand_corruptions_are_all_seen(tmp_path, read):
    whole, header_bytes = written(tmp_path)
    source = corruptions(whole, header_bytes, np.random.default_rng(0))
    for _ in range(10_000):
        with pytest.raises(StoreError, match="damaged|no mask file|of version"):
            read(next(source))


def test_a_length_in_a_damaged_header_is_never_believed(tmp_path, read):
    whole, header_bytes = written(tmp_path)
    source = corruptions(whole, header_bytes, np.random.default_rng(2))
    tracemalloc.start()
    try:
        for _ in range(500):
            with pytest.raises(StoreError):
                read(next(source))
        for length in (2**63, 2**40, 2**64 - 1, 10**8, 0):
            with pytest.raises(StoreError):
                read(length.to_bytes(8, "little") + whole[8:])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2_000_000


def test_every_byte_is_covered(tmp_path, read):
    whole, _ = written(tmp_path)
    for at in range(len(whole)):
        with pytest.raises(StoreError):
            read(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])  # the case of a letter, say


def signed(damaged):
    """The same with a digest that fits again, where the header still has one."""
    at = damaged.find(b'"digest":"')
    if at < 0:
        return damaged
    blank = damaged[: at + 10] + b"0" * 64 + damaged[at + 74 :]
    return damaged[: at + 10] + digest(blank).encode() + damaged[at + 74 :]


@pytest.mark.parametrize("coder", ["auto", "raw", "smallest"])
def test_behind_the_digest_nothing_crashes_either(tmp_path, read, coder):
    """As if someone had edited the file and signed it again: an error, or a state that holds together."""
    whole, header_bytes = written(tmp_path, coder)
    weights, source = base(), corruptions(whole, header_bytes, np.random.default_rng(1))
    outcomes = {"read": 0, "refused": 0, "seen by the digest": 0}
    for _ in range(3000):
        try:
            found = read(signed(next(source)), base_weights=weights)
            assert all(isinstance(mask, BitMask) for mask in found.masks.values())
            outcomes["read"] += 1
        except (StoreError, InvalidInput) as error:
            outcomes["seen by the digest" if "have the hash" in str(error) else "refused"] += 1
    assert outcomes["refused"] > 1000
    assert outcomes["seen by the digest"] < 1500


def test_a_container_without_its_streams_is_damaged(tmp_path, read):
    whole, _ = written(tmp_path)
    for old, new in [(b'"buffers.F16":{', b'"buffers.F61":{'), (b'"index":{', b'"undex":{'), (b'"U8"', b'"U9"')]:
        assert old in whole
        with pytest.raises(StoreError, match="is damaged"):
            read(signed(whole.replace(old, new, 1)))


def test_an_index_that_does_not_fit_is_damaged(tmp_path):
    path = tmp_path / "a"
    write_mask_file(path, state())
    facts, tensors = read_container(path)
    own = {name: value for name, value in facts.items() if name not in ("format", "version", "digest")}
    packed = tensors["index"].tobytes()
    text = zlib.decompress(packed)

    def read_with(index):
        write_container(path, {**tensors, "index": np.frombuffer(index, np.uint8)}, own)
        return read_mask_file(path)

    assert set(read_with(zlib.compress(text)).masks) == set(SHAPES)
    for old, new in [
        (b'"odd",[7]', b'"odd",[6]'),
        (b'"odd",[7]', b'"odd",{"7":7}'),
        (b"[16],", b"[17],"),
        (b'"masks":', b'"musks":'),
    ]:
        assert old in text
        with pytest.raises(StoreError, match="is damaged"):
            read_with(zlib.compress(text.replace(old, new, 1)))
    bomb = zlib.compress(text + b" " * 100_000_001)
    for index in [b"", packed[:-1], packed + b"0", text, zlib.compress(b"[]"), zlib.compress(b"{}"), bomb]:
        with pytest.raises(StoreError, match="is damaged"):
            read_with(index)


def test_sizes_that_a_small_file_states_are_not_believed(tmp_path):
    """Small files, whose masks, numbers or objects would take more than any machine has."""
    path = tmp_path / "a"

    def read_with(index, stream, **arguments):
        text = index if isinstance(index, bytes) else json.dumps(index).encode()
        packed = np.frombuffer(zlib.compress(text, 9), np.uint8)
        own = {"base_hash": weights_hash(base())}
        write_container(path, {"masks": np.frombuffer(stream, np.uint8), "index": packed}, own)
        assert path.stat().st_size < 10_000
        return read_mask_file(path, **arguments)

    def all_zeros(n):
        number = b""
        while n >= 128:
            n, number = n >> 7, number + bytes([n & 127 | 128])
        return b"\0" + number + bytes([n]) + b"\0" + bytes(4)

    many = 2**50
    for shapes in ([[many]], [[2**31, 2**21]], [[2**33]] * 8):
        stream = all_zeros(int(np.prod(shapes[0])))
        masks = [[f"w{k}", shape, len(stream)] for k, shape in enumerate(shapes)]
        with pytest.raises(StoreError, match="its index asks for .* bytes of masks, its streams have"):
            read_with({"masks": masks, "buffers": []}, stream * len(shapes))
    stream = all_zeros(2**30)
    with pytest.raises(StoreError, match="its mask 'odd' of shape .* is of no tensor of the base"):
        read_with({"masks": [["odd", [2**30], len(stream)]], "buffers": []}, stream, base_weights=base())
    with pytest.raises(StoreError, match="its mask 'other' of shape .* is of no tensor of the base"):
        read_with({"masks": [["other", [2**30], len(stream)]], "buffers": []}, stream, base_weights=base())
    digits = b",".join([b"9" * 4000] * 200)
    for masks in (
        b"[[],[],",
        b'[["w",[' + digits + b"],1],",
        b'[["w",[-1,-7],1],',
        b'[["w",[7.0],1],',
        b'[["w",[true],1],',
    ):
        with pytest.raises(StoreError, match="is damaged"):
            read_with(b'{"masks":' + masks[:-1] + b'],"buffers":[]}', stream)
    with pytest.raises(StoreError, match="is not one zlib stream of at most 1048576 bytes"):
        read_with(b'{"masks":[' + b"[]," * 400_000 + b'[]],"buffers":[]}', stream)
    header = {"format": "oneglance-mask", "version": "2", "digest": "0" * 64}
    entry = {"dtype": "U8", "shape": [9] * 100_000, "data_offsets": [0, 0]}
    text = json.dumps({"__metadata__": header, "masks": entry}, separators=(",", ":")).encode()
    path.write_bytes(signed(len(text).to_bytes(8, "little") + text))
    with pytest.raises(StoreError, match="tensor 'masks' has 100000 dimensions"):
        read_mask_file(path)
