"""Operations on arrays in the memory of a CUDA device: Torch tensors, CuPy arrays, and what speaks their protocols.

The public functions of the package come here when they are given such arrays; their docstrings hold. Kernels are
those of csrc/cuda, matrix products those of the array's own library.
"""

from .arrays import DeviceRows, device_rows, library_of, why_not
from .library import Library

__all__ = ["DeviceRows", "Library", "device_rows", "library_of", "why_not"]
