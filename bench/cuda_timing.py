"""Timing on a card with CUDA events, beside the two limits of the same run: copies and products.

Without a card the cases run once on a few rows with emulated kernels, so that what stands in them is right; then
nothing is timed and nothing is reported.
"""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent / "results"


@dataclass
class Row:
    """One case: medians in milliseconds, and what the limit would take."""

    case: str
    ours_ms: float
    baselines_ms: dict[str, float]
    limit_ms: float
    limit: str
    target: str
    met: bool | None


class Card:
    """The device under test. real: False where kernels are emulated and sizes are small.

    xp  CuPy for baselines, None where it is not installed; NumPy where kernels are emulated
    """

    def __init__(self, torch, library, name: str, real: bool) -> None:
        self.torch, self.library, self.name, self.real = torch, library, name, real
        self.rows: list[Row] = []
        self.xp = None
        if not real or importlib.util.find_spec("cupy") is not None:
            self.xp = importlib.import_module("cupy" if real else "numpy")

    def baselines(self, usual, *tensors, by_torch: bool = True) -> dict:
        """ "torch" and, where installed, "cupy": `usual(library, *arrays)` on the same memory.

        by_torch  False: Torch has no such operation
        """
        found = {"torch": lambda: usual(self.torch, *tensors)} if by_torch else {}
        if self.xp is not None:
            arrays = [self.xp.asarray(tensor) for tensor in tensors]
            found["cupy"] = lambda: usual(self.xp, *arrays)
        return found

    def size(self, n: int, small: int) -> int:
        return n if self.real else small

    def normal(self, n: int, d: int, dtype: str, seed: int = 0):
        """Normal rows, made on the device piece by piece."""
        torch = self.torch
        device = "cuda" if self.real else "cpu"
        generator = torch.Generator(device=device).manual_seed(seed)
        out = torch.empty((n, d), dtype=getattr(torch, dtype), device=device)
        for first in range(0, n, 1 << 18):
            part = out[first : first + (1 << 18)]
            part.copy_(torch.randn(part.shape, device=device, generator=generator))
        return out

    def ms(self, work, repeat: int = 15) -> float:
        """Median of single runs between two events, after up to three to warm up."""
        torch, times = self.torch, []
        if not self.real:
            work()
            return float("nan")
        for _ in range(min(3, repeat)):
            work()
        for _ in range(repeat):
            start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            work()
            stop.record()
            stop.synchronize()
            times.append(start.elapsed_time(stop))
        return statistics.median(times)

    def copy_rate(self) -> float:
        """Bytes read and written per millisecond by a large copy on the device."""
        a = self.torch.empty(1 << 28, dtype=self.torch.float32, device="cuda")
        b = self.torch.empty_like(a)
        return 2 * a.numel() * 4 / self.ms(lambda: b.copy_(a))

    def product_rate(self, dtype: str, tf32: bool) -> float:
        """Floating-point operations per millisecond of a large product of the caller's library."""
        n = 8192
        a, b = self.normal(n, n, dtype), self.normal(n, n, dtype, seed=1)
        out = self.torch.empty_like(a)
        return 2 * n**3 / self.ms(lambda: self.library.product(a, b, out, tf32=tf32))

    def limit_ms(self, *, n_bytes: float = 0.0, flops: float = 0.0, dtype: str = "float32", tf32: bool = False):
        """The larger of both, and which it is; NaN without a card."""
        if not self.real:
            return float("nan"), ""
        by_bytes = n_bytes / self.copy_rate()
        by_flops = flops / self.product_rate(dtype, tf32) if flops else 0.0
        return max((by_bytes, "bytes over copy bandwidth"), (by_flops, "flops over product rate"))

    def report(self, case, ours, baselines, limit, *, share=None, times=None, against=None, repeat=15) -> None:
        """Times all of them in this run; `repeat` less often where a run takes long.

        share    of the limit that ours must reach         times  how much faster than the baseline `against`
        """
        ours_ms = self.ms(ours, repeat)
        baselines_ms = {name: self.ms(work, min(5, repeat)) for name, work in baselines.items()}
        if not self.real:
            return
        limit_ms, what = limit
        if share is not None:
            target, met = f">= {share:.0%} of the limit", limit_ms / ours_ms >= share
        elif times is not None and against in baselines_ms:
            target, met = f">= {times:g} x {against}", baselines_ms[against] / ours_ms >= times
        else:
            target, met = "none", None
        self.rows.append(Row(case, ours_ms, baselines_ms, limit_ms, what, target, met))

    def write(self) -> Path:
        """bench/results/cuda-<card>.json: cases of earlier runs stay unless they were timed again."""
        path = RESULTS / f"cuda-{re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')}.json"
        known = {row["case"]: row for row in json.loads(path.read_text())["cases"]} if path.exists() else {}
        known.update({row.case: asdict(row) for row in self.rows})
        path.write_text(json.dumps({"card": self.name, "cases": list(known.values())}, indent=1) + "\n")
        return path

    def lines(self) -> list[str]:
        out = []
        for row in self.rows:
            others = "  ".join(f"{name} {value:.2f} ms" for name, value in row.baselines_ms.items())
            out.append(
                f"{row.case}: ours {row.ours_ms:.2f} ms  {others}  limit {row.limit_ms:.2f} ms ({row.limit})  "
                f"target {row.target}  {'' if row.met is None else 'met' if row.met else 'NOT MET'}"
            )
        return out


@contextmanager
def found_card():
    """The first card with Torch on it, or a stand-in of emulated kernels; skips where there is neither."""
    torch = pytest.importorskip("torch")
    from device_libraries import EmulatedTorch, emulated_kernels

    from oneglance.cuda import why_not
    from oneglance.cuda.arrays import registered
    from oneglance.cuda.torch_library import TorchLibrary

    if why_not() is None and torch.cuda.is_available():
        from oneglance import _cuda

        library = TorchLibrary(torch, _cuda)
        with library.guard(0):
            yield Card(torch, library, _cuda.card(0)["name"], True)
        return
    kernels = emulated_kernels()
    if kernels is None:
        pytest.skip(f"{why_not() or 'this torch has no CUDA'}; the emulated kernels are not built either")
    library = EmulatedTorch(torch, kernels)
    with registered(library):
        yield Card(torch, library, "emulated", False)
