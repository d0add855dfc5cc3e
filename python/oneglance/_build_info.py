"""What this installation is made of and what it will use on this machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
from typing import Any

from . import __version__, _core


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
    """What the CUDA module can do here, or the reason why there is none."""
    try:
        module: Any = importlib.import_module("oneglance._cuda")
    except ModuleNotFoundError:
        return "module not built (-DONEGLANCE_CUDA=ON builds it); linear algebra runs on the CPU in any case"
    except ImportError as error:
        return f"module built but not loadable: {error}"
    n_devices: int = module.device_count()
    return f"module built, {n_devices} device(s) usable: random numbers only, linear algebra runs on the CPU"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
