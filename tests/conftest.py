"""Fixtures for every test. Torch is imported only by the tests that use it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

# Several processes of tests share the cores: threads that wait for others then sleep instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell that starts the tests in the background has Ctrl-C ignored, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DEVICES = ("emulated-numpy", "emulated-torch", "cuda-torch", "cuda-cupy")

_declared: list[Any] = []  # the operators live as long as their Library object


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures, features and weights beside the repository."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"real data is not there: {path}")
    return path


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Any:
    """A place for device arrays: emulated, or a card's where there is one (tests/contract/device_libraries.py)."""
    import device_libraries

    with device_libraries.opened(request.param) as place:
        yield place


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision, also where its compiled half was built for another torch.

    Such a pair fails at import for want of two detection operators, which no test needs; declaring them is enough.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision", exc_type=ImportError) if _imports() else _declare(torch)
    import torchvision

    return torchvision


def _imports() -> bool:
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return True  # importorskip says so
    except RuntimeError:
        return False
    return True


def _declare(torch: Any) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


@pytest.fixture
def make_pictures() -> Any:
    """make_pictures(folder, n, size=16, suffix=".png") writes n different small RGB pictures; returns their paths."""
    import numpy as np
    from PIL import Image

    def make(folder: Path, n: int, size: int = 16, suffix: str = ".png", seed: int = 0) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        paths = []
        for index in range(n):
            low = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            picture = Image.fromarray(low).resize((size, size), Image.Resampling.BICUBIC)
            paths.append(folder / f"{index:03d}{suffix}")
            picture.save(paths[-1])
        return paths

    return make
