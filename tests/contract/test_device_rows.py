"""Rows in device memory: what the door takes and refuses, norms, and that the emulation finds wrong kernels."""

import mmap
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import islice
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from device_libraries import InDeviceMemory, emulated_kernels

import oneglance as og
from oneglance.cluster import small_kmeans
from oneglance.cuda import device_rows, library_of, why_not
from oneglance.cuda.arrays import checked_device, place_of
from oneglance.cuda.blocks import Blocks
from oneglance.cuda.lanes import PlainLane
from oneglance.cuda.mask_bits import target
from oneglance.cuda.norms import row_norms2
from oneglance.cuda.torch_library import TorchLibrary
from oneglance.errors import InvalidInput, MissingDependency
from oneglance.masks import MaskStack, pack_mask


def norms_of(device, array):
    rows = device_rows(array, "X", device.library)
    out, n_bad = row_norms2(rows)
    return device.get(out), int(device.get(n_bad)[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n_dims", [1, 31, 32, 33, 70])
def test_norms_are_those_of_float64(device, dtype, n_dims):
    x = np.random.default_rng(n_dims).normal(size=(19, n_dims)).astype(dtype)
    got, n_bad = norms_of(device, device.put(x))
    assert n_bad == 0
    np.testing.assert_allclose(got, (x.astype(np.float64) ** 2).sum(axis=1), rtol=1e-14)
    with device.descending():
        assert np.array_equal(got, norms_of(device, device.put(x))[0])


def test_every_float16_number_is_read_exactly(device):
    x = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, 64)
    x = x[np.isfinite(x).all(axis=1)]
    got, _ = norms_of(device, device.put(x))
    np.testing.assert_allclose(got, (x.astype(np.float64) ** 2).sum(axis=1), rtol=1e-14)


def test_rows_with_nan_are_counted(device):
    x = np.ones((40, 50), dtype=np.float32)
    x[3, 49], x[17, 0], x[18, 5] = np.nan, np.inf, -np.inf
    got, n_bad = norms_of(device, device.put(x))
    assert n_bad == 3
    assert np.flatnonzero(~np.isfinite(got)).tolist() == [3, 17, 18]


def test_layouts_integers_and_strided_rows(device):
    x = np.arange(60, dtype=np.float32).reshape(6, 10)
    want = (x[::2, :7].astype(float) ** 2).sum(axis=1)
    on_device = device.put(x)
    strided = device_rows(on_device[::2, :7], "X", device.library)
    assert strided.row_stride == 20
    assert np.array_equal(norms_of(device, on_device[::2, :7])[0], want)
    assert np.array_equal(norms_of(device, device.put(x.T)[:7, ::2].T)[0], want)
    assert np.array_equal(norms_of(device, device.put(x.astype(np.int32)))[0], (x.astype(float) ** 2).sum(axis=1))


def test_bfloat16_of_torch(device):
    if device.library.name != "torch":
        pytest.skip("only Torch has bfloat16")
    tensor = device.put(np.linspace(-3, 3, 60, dtype=np.float32).reshape(6, 10)).bfloat16()
    want = (tensor.double() ** 2).sum(dim=1)
    np.testing.assert_allclose(norms_of(device, tensor)[0], device.library.to_host(want), rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5,), "X must be 2-D .*reshape"), ((0, 3), "at least one row"), ((2, 3, 4), "X must be 2-D")],
)
def test_wrong_shapes_are_named(device, shape, message):
    with pytest.raises(InvalidInput, match=message):
        device_rows(device.put(np.zeros(shape, np.float32)), "X", device.library)


def test_two_matrices_must_fit(device):
    x = device_rows(device.put(np.zeros((4, 3))), "X", device.library)
    with pytest.raises(InvalidInput, match="Q has 2 columns, X has 3"):
        device_rows(device.put(np.zeros((4, 2))), "Q", device.library, like=x)
    with pytest.raises(InvalidInput, match="Q must be in device memory, as X is, got list"):
        device_rows([[1.0, 2.0, 3.0]], "Q", device.library, like=x)


def test_arrays_of_the_cpu_belong_to_no_device():
    assert library_of(np.zeros((2, 2)), "X") is None
    assert library_of([[1.0]], "X") is None


def test_threads_do_not_disturb_each_other(device):
    pools = [np.random.default_rng(seed).normal(size=(300, 33)) for seed in range(4)]
    with ThreadPoolExecutor(4) as workers:
        answers = list(workers.map(lambda x: norms_of(device, device.put(x))[0], pools))
    for x, got in zip(pools, answers, strict=True):
        np.testing.assert_allclose(got, (x**2).sum(axis=1), rtol=1e-14)


def test_arrays_of_other_libraries_are_known_by_their_protocols():
    """Without a module or a card the refusal names the array; with one it is taken."""

    class OnCuda:
        def __dlpack_device__(self):
            return 2, 0

    class Nowhere:
        def __dlpack_device__(self):
            raise ValueError("no such device")

    assert library_of(Nowhere(), "X") is None
    if why_not() is None:
        pytest.skip("there is a card: arrays are taken")
    for array in (OnCuda(), SimpleNamespace(__cuda_array_interface__={})):
        with pytest.raises(
            InvalidInput, match="X is a CUDA array, but the CUDA module .* Pass X as an array of the CPU"
        ):
            library_of(array, "X")


class Elsewhere:
    """An array of another library in the memory of device 1, still being written on the stream 77; only to be read."""

    def __init__(self, **more):
        self.__cuda_array_interface__ = {
            "shape": (2, 3),
            "typestr": "<f4",
            "data": (4096, True),
            "version": 3,
            "stream": 77,
            **more,
        }


def test_torch_adopts_arrays_of_other_libraries_where_they_are():
    """Torch itself refuses what may only be read, copies it to the current device, and does not wait for the stream."""
    said = []

    def as_tensor(value, device):
        said.append((value.__cuda_array_interface__["data"], device))
        return value

    torch = SimpleNamespace(Tensor=int, as_tensor=as_tensor, device=lambda kind, index: (kind, index))
    torch.cuda = SimpleNamespace(device=lambda index: said.append(("guard", index)) or nullcontext())
    kernels = SimpleNamespace(device_of=lambda address: address // 4096, synchronize=said.append)
    library, array = TorchLibrary(torch, kernels), Elsewhere()
    kept = library.adopt(array)
    assert said == [("guard", 1), 77, ((4096, False), ("cuda", 1))]
    assert kept.array is array
    assert array.__cuda_array_interface__["data"] == (4096, True)
    library.adopt(Elsewhere(stream=None))
    assert said[3:] == [("guard", 1), ((4096, False), ("cuda", 1))]
    torch.from_dlpack = said.append
    by_dlpack = object()
    library.adopt(by_dlpack)
    assert said[5:] == [by_dlpack]


def test_what_may_only_be_read_is_not_written_to():
    library = SimpleNamespace(owns=lambda value: False, adopt=lambda value: value, dtype_name=lambda value: "float32")
    with pytest.raises(InvalidInput, match="out must be writeable, this Elsewhere may only be read"):
        target(Elsewhere(), library, "float32", (2, 3))


def test_integers_are_widened_on_the_device_that_they_are_on(device, monkeypatch):
    """CuPy works on the current device: each call on an array is made where the array is."""
    library, inside = device.library, []

    @contextmanager
    def guard(number):
        inside.append(number)
        yield
        inside.pop()

    for name in ("astype", "contiguous"):
        real = getattr(library, name)
        monkeypatch.setattr(library, name, lambda *args, real=real: real(*args) if inside else pytest.fail("outside"))
    x = device.put(np.arange(12, dtype=np.int32).reshape(4, 3))
    monkeypatch.setattr(library, "guard", guard)
    rows = device_rows(x.T, "X", library)
    assert (rows.n_rows, rows.n_dims, rows.dtype, rows.row_stride) == (3, 4, "float64", 4)


ON_ROWS = {
    "nearest": lambda x, mask: og.nearest(x[:5], x, k=2, mask=mask),
    "knn": lambda x, mask: og.knn(x, 2, mask=mask, metric="cosine"),
    "farthest_points": lambda x, mask: og.farthest_points(x, 4, mask=mask, assign=True),
    "weighted_draw": lambda x, mask: og.weighted_draw(x, 4, mask=mask, metric="cosine"),
    "kmeans": lambda x, mask: og.kmeans(x, 3, mask=mask, max_iter=2),
    "activeft": lambda x, mask: og.activeft(x, 3, mask=mask, n_iter=2),
    "bilaf": lambda x, mask: og.bilaf(x, 6, n_cores=2, mask=mask),
    "lewis_weights": lambda x, mask: og.lewis_weights(x, 1.0, mask=mask, ridge=0.1),
    "leverage_scores": lambda x, mask: og.leverage_scores(x, mask=mask),
    "small_kmeans": lambda x, mask: small_kmeans(x, [0, 10, 20, 40], 2),
    "MaskStack": lambda x, mask: MaskStack([pack_mask(x > 0)] * 2).linear(x[:3], x, [0, 1, -1]),
}
CALLS = "empty zeros full from_host astype contiguous product stable_order joined taken stream lane cholesky_upper"


@pytest.mark.parametrize("name", ON_ROWS)
def test_all_work_is_done_where_the_rows_are(device, monkeypatch, name):
    """CuPy works on the current device: calls are made inside the guard of the rows' own."""
    library, inside = device.library, []
    x = device.put(np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))
    mask = np.arange(40) % 5 != 0

    @contextmanager
    def guard(number):
        inside.append(number)
        yield
        inside.pop()

    for call in CALLS.split():
        real = getattr(library, call)
        monkeypatch.setattr(
            library,
            call,
            lambda *args, real=real, call=call, **named: real(*args, **named) if inside else pytest.fail(call),
        )
    monkeypatch.setattr(library, "guard", guard)
    ON_ROWS[name](x, mask)
    assert not inside


class Kernels:
    """A compiled module on a machine with cards of these capabilities."""

    def __init__(self, *capabilities):
        self.capabilities, self.asked = capabilities, 0

    def device_count(self):
        return len(self.capabilities)

    def card(self, device):
        self.asked += 1
        return {"capability": self.capabilities[device]}


def test_cards_that_the_kernels_are_not_compiled_for_are_not_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "oneglance._cuda", Kernels(70, 75))
    assert why_not() == "the card has compute capability 7.5, and the CUDA module is for 8.0 and later"
    assert checked_device("auto") == "cpu"
    with pytest.raises(InvalidInput, match='device is "cuda", but the card has compute capability 7.5'):
        checked_device("cuda")
    kernels = Kernels(75, 90)
    monkeypatch.setitem(sys.modules, "oneglance._cuda", kernels)
    assert why_not() is None
    assert why_not() is None
    assert kernels.asked == 2  # a question to the driver takes time


def test_auto_is_the_cpu_where_nothing_multiplies_on_the_card(monkeypatch):
    """A card and the CUDA module, but Torch is one for the CPU and there is no CuPy."""
    without = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False), Tensor=int)
    for name, module in (("oneglance._cuda", Kernels(90)), ("torch", without)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "cupy", None)
    x = np.zeros((2, 2))
    assert checked_device("auto") == "cpu"
    assert place_of(x, "X", "auto") is None
    with pytest.raises(MissingDependency, match='device is "cuda": that needs torch with CUDA, or cupy'):
        checked_device("cuda")
    monkeypatch.delitem(sys.modules, "cupy")
    with pytest.raises(InvalidInput, match=r"X is a CUDA array of .*: import torch \(with CUDA\) or cupy"):
        library_of(Elsewhere(), "X")
    without.cuda.is_available = lambda: True
    assert checked_device("auto") == "cuda"
    assert place_of(x, "X", "auto")[1] == 0


def test_a_thread_multiplies_in_the_arithmetic_it_asked_for():
    """The choice is a setting of the process: a second thread waits, and nothing of it stays behind."""
    settings, seen = SimpleNamespace(fp32_precision="ieee"), []
    begun, ends = ({name: Event() for name in ("first", "second")} for _ in range(2))

    def mm(name, b, out):
        begun[name].set()
        assert ends[name].wait(10)
        seen.append((name, settings.fp32_precision))

    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=settings))
    library = TorchLibrary(SimpleNamespace(mm=mm, backends=backends), None)
    with ThreadPoolExecutor(2) as workers:
        first = workers.submit(library.product, "first", None, None, tf32=True)
        assert begun["first"].wait(10)
        second = workers.submit(library.product, "second", None, None)
        assert not begun["second"].wait(0.1)
        ends["first"].set()
        first.result(10)
        ends["second"].set()
        second.result(10)
    assert seen == [("first", "tf32"), ("second", "ieee")]
    assert settings.fp32_precision == "ieee"


class SlowLane(PlainLane):
    """Bytes are under way from `copy` until the host or the caller's stream waits for them."""

    def __init__(self, n_bytes):
        super().__init__(np.asarray, n_bytes)
        self.under_way = 0

    def host(self):
        self.arrived()
        return super().host()

    def copy(self, n_bytes):
        self.under_way = n_bytes

    def arrived(self):
        super().copy(self.under_way)
        self.under_way = 0


@pytest.mark.parametrize("read", [0, 1, 3, 5])
def test_no_copy_is_under_way_when_its_memory_goes(read):
    """After an error in the work on a panel, the one behind it would land in memory that is somebody else's by then."""
    lanes = []
    library = SimpleNamespace(lane=lambda n_bytes, device: lanes.append(SlowLane(n_bytes)) or lanes[-1])
    x = np.arange(50, dtype=np.float32).reshape(10, 5)
    blocks = Blocks([x[:3], x[3:].astype(np.float64)], library, 0)  # later panels are larger: lanes are replaced
    panels = blocks.panels(2)
    seen = [rows.array.copy() for _, pieces in islice(panels, read) for _, rows in pieces]
    assert np.array_equal(np.concatenate([np.empty((0, 5)), *seen]), x[: 2 * read])
    panels.close()
    assert [lane.under_way for lane in lanes] == [0] * len(lanes)
    assert len(lanes) == min(read, 1) * 2 + (read > 1)  # the third where one was too small


def test_more_than_2_to_the_31_elements(device):
    """Rows far apart in memory that is never touched in between: 5 rows over 10 GB of addresses."""
    if device.name != "emulated-numpy":
        pytest.skip("needs memory that is only reserved")
    n_dims, stride = 40, 2**29 + 8
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, 4 * (4 * stride + n_dims), flags=flags)
    flat = np.frombuffer(memory, dtype=np.float32)
    x = np.lib.stride_tricks.as_strided(flat, (5, n_dims), (4 * stride, 4)).view(InDeviceMemory)
    x[...] = np.arange(200, dtype=np.float32).reshape(5, n_dims)
    got, _ = norms_of(device, x)
    assert np.array_equal(got, (np.arange(200.0).reshape(5, n_dims) ** 2).sum(axis=1))


@pytest.mark.parametrize(
    ("how", "message"),
    [(0, "40 of 64 threads wait at sync_block, 24 have ended"), (1, "shuffle and ballot"), (2, "index 64 of shared")],
)
def test_the_emulation_finds_mistakes(how, message):
    kernels = emulated_kernels()
    if kernels is None:
        pytest.skip("the emulated kernels are not built: cmake --workflow --preset emulated")
    with pytest.raises(kernels.LaunchError, match=message):
        kernels.miss_a_barrier(how)
