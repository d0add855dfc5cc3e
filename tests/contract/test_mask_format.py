"""docs/mask_format.md is all that another program needs: a reader written from it alone, against the compiled one."""

import hashlib
import json
import zlib

import numpy as np
import pytest

from oneglance.masks import MaskState, encode_masks, pack_mask, unpack_mask, write_mask_file


class Reader:
    """A stream, read as the document says; slow and without any check but the checksum."""

    def __init__(self, stream, weights=None):
        self.bytes, self.at, self.weights = stream, 0, weights

    def take(self, size):
        self.at += size
        return self.bytes[self.at - size : self.at]

    def number(self):
        value, shift = 0, 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def unsigned(self, size):
        return int.from_bytes(self.take(size), "little")

    def mask(self):
        coder, n, ones = self.take(1)[0], self.number(), self.number()
        before = self.bytes[: self.at]
        crc = self.unsigned(4)
        after = self.bytes[self.at :]
        if ones in (0, n):
            bits = [int(ones == n)] * n
        elif coder == 0:
            bits = np.unpackbits(np.frombuffer(self.take((n + 7) // 8), np.uint8), bitorder="little")[:n].tolist()
        elif coder == 1:
            inverted = 2 * ones > n
            bits = [bit ^ inverted for bit in self.block(n, n - ones if inverted else ones)]
        else:
            bits = self.arithmetic(n, ones, self.bins(n) if coder == 3 else [0] * n)
        packed = np.packbits(np.array(bits, dtype=bool), bitorder="little").tobytes()
        assert zlib.crc32(packed + before + after) == crc
        return np.array(bits, dtype=bool)

    def block(self, n, ones):
        n_bytes = (n + 7) // 8
        if n >= 256 and ones <= n // 32:
            m = self.number()
            occupied = self.block(n_bytes, m)
            others = iter(self.symbols(m))
            values = [next(others) if here else 0 for here in occupied]
        else:
            values = self.symbols(n_bytes)
        return [value >> k & 1 for value in values for k in range(8)][:n]

    def symbols(self, count):
        frequencies = [self.number() for _ in range(self.number())] + [0] * 9
        ranges, start = [], 0
        for byte in sorted(range(256), key=lambda byte: (byte.bit_count(), byte)):
            ranges.append((start, start + frequencies[byte.bit_count()], byte))
            start = ranges[-1][1]
        states = [self.unsigned(4) for _ in range(1 if count < 8192 else 4)]
        found = []
        for i in range(count):
            state = states[i % len(states)]
            slot = state % 2**14
            ((start, end, byte),) = [entry for entry in ranges if entry[0] <= slot < entry[1]]
            state = (end - start) * (state // 2**14) + slot - start
            states[i % len(states)] = state if state >= 2**16 else state * 2**16 + self.unsigned(2)
            found.append(byte)
        assert states == [2**16] * len(states)
        return found

    def bins(self, n):
        keys = [int(bits) >> 19 & 0xFFF for bits in self.weights.view(np.uint32)]
        ascending = np.sort(keys)
        return [int(np.searchsorted(ascending, key)) * 16 // n for key in keys]

    def arithmetic(self, n, ones, bins):
        message = int.from_bytes((self.bytes[self.at :] + bytes(16 + n))[: n + 16], "big")
        total = 8 * (n + 16)
        low, high, shift, estimates, history, bits = 0, 2**64 - 1, 0, {}, [], []
        rarer = int(2 * ones <= n)
        for bin_ in bins:
            context = bin_, min(sum(bit == rarer for bit in history[-16:]), 3)
            p, count = estimates.get(context, (ones * 2**30 // n, 24))
            middle = low + (high - low) // 2**16 * min(max(p // 2**14, 1), 2**16 - 1)
            bit = int((message >> (total - shift - 64)) % 2**64 <= middle)
            low, high = (low, middle) if bit else (middle + 1, high)
            s = 131072 // (2 * count + 3)
            p = p + ((2**30 - p) * s >> 16) if bit else p - (p * s >> 16)
            estimates[context] = p, min(count + 1, 4095)
            while low >> 56 == high >> 56:
                low, high, shift = low * 256 % 2**64, high * 256 % 2**64 + 255, shift + 8
            history.append(bit)
            bits.append(bit)
        return bits


@pytest.mark.parametrize("coder", ["raw", "bytes", "adaptive", "magnitude", "auto", "smallest"])
@pytest.mark.parametrize(("n", "kept"), [(0, 1), (9, 1), (9, 0), (100, 0.9), (5000, 0.93), (9001, 0.02), (70_001, 0.6)])
def test_a_reader_by_the_document_reads_streams(n, kept, coder):
    if coder in ("adaptive", "magnitude", "smallest"):
        n = min(n, 5000)  # whole numbers of a thousand bytes are slow
    rng = np.random.default_rng(n)
    mask = pack_mask(rng.random(n) < kept)
    weights = rng.normal(size=n).astype(np.float32)
    stream = encode_masks({"w": mask}, coder=coder, weights={"w": weights})["w"].tobytes()
    assert (Reader(stream, weights).mask() == unpack_mask(mask)).all()


def test_very_rare_bits_are_nested():
    mask = pack_mask(np.random.default_rng(0).random(400_000) < 0.9995)
    stream = encode_masks({"w": mask}, coder="bytes")["w"].tobytes()
    assert stream[0] == 1
    assert (Reader(stream).mask() == unpack_mask(mask)).all()


def test_a_reader_by_the_document_reads_files(tmp_path):
    rng = np.random.default_rng(0)
    base = {name: rng.normal(size=(20, 30)).astype(np.float32) for name in ("b", "a", "c")}
    parent = {name: pack_mask(rng.random((20, 30)) < 0.9) for name in base}
    own = {**parent, "c": pack_mask(rng.random((20, 30)) < 0.5)}
    buffers = {"z": np.arange(3, dtype=np.float16), "y": np.float32([[7]]), "x": np.ones((2, 2), np.float16)}
    path = tmp_path / "a.safetensors"
    write_mask_file(path, MaskState(own, buffers, {"base": "toy"}), base_weights=base, parent=parent)

    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    facts = header.pop("__metadata__")
    tensors = {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()}
    blank = whole.replace(facts["digest"].encode(), b"0" * 64)
    assert hashlib.blake2b(blank, digest_size=32).hexdigest() == facts["digest"]
    assert (facts["format"], facts["version"], json.loads(facts["meta.base"])) == ("oneglance-mask", "2", "toy")

    def hash_of(entries):
        state = hashlib.blake2b(digest_size=32)
        for name, dtype, shape, values in sorted(entries):
            label = f"{dtype} {','.join(map(str, shape))} {name}".encode()
            state.update(len(label).to_bytes(8, "little") + label + values)
        return state.hexdigest()

    assert facts["base_hash"] == hash_of((n, "float32", w.shape, w.tobytes()) for n, w in base.items())
    assert facts["parent_hash"] == hash_of((n, "bits", m.shape, m.bits.tobytes()) for n, m in parent.items())
    index = json.loads(zlib.decompress(tensors["index"]))
    at, differing = 0, index["differing"]
    assert differing == [0, 1]
    for place, (name, shape, n_bytes) in enumerate(index["masks"]):
        flags = Reader(tensors["masks"][at : at + n_bytes], base[name].ravel()).mask().reshape(shape)
        at += n_bytes
        if place in differing:
            flags ^= unpack_mask(parent[name])
        assert (flags == unpack_mask(own[name])).all()
    assert at == len(tensors["masks"])
    halves = np.frombuffer(tensors["buffers.F16"], "<f2")
    assert index["buffers"] == [["z", [3], "F16"], ["y", [1, 1], "F32"], ["x", [2, 2], "F16"]]
    assert halves.tolist() == [0, 1, 2, 1, 1, 1, 1]
