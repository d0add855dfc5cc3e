"""What this installation is made of and what it will use on this machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
from typing import Any

from . import __version__, _core
from .cuda import why_not


def build_info() -> dict[str, Any]:
    """Versions, compiler, instruction sets (compiled, runnable, active), BLAS, threads, torch, CUDA.

    Reads package metadata only: neither torch nor any other optional package is imported.
    Environment: ONEGLANCE_ISA=baseline|avx2|avx512 forces an instruction set (read once, at import),
    OMP_NUM_THREADS bounds the threads.
    """
    return {
        "oneglance": __version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        **_core.build_info(),
        "numpy": _version("numpy"),
        "pyarrow": _version("pyarrow"),
        "torch": _version("torch"),
        "torchvision": _version("torchvision"),
        "timm": _version("timm"),
        "transformers": _version("transformers"),
        "cuda": _cuda(),
    }


def _cuda() -> str:
    """The cards that the CUDA module can use, or the reason why everything runs on the CPU."""
    reason = why_not()
    if reason is not None:
        return f"CPU only: {reason}"
    module: Any = importlib.import_module("oneglance._cuda")
    cards = [module.card(device) for device in range(module.device_count())]
    return ", ".join(f"{card['name']} ({card['capability'] / 10:.1f})" for card in cards)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
