"""The arithmetics of the passes, from the fastest to the finest, and what each one's rounding does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from .library import Library


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How operands of products are rounded; sums of float32 products are float32 over a panel, then float64.

    name       "tf32": 11 bits, one product on tensor cores. "3xtf32": each operand as two parts of 11 bits, two
               or three products there. "float32": the plain units. "float64"
    panel      code of csrc/cuda/panel.h
    dtype      of panels and products
    coarser    rounding of an operand relative to float32's 2^-24
    """

    name: str
    panel: int
    dtype: str
    coarser: float

    @property
    def split(self) -> bool:
        return self.name == "3xtf32"

    @property
    def tf32(self) -> bool:
        return self.panel == 2


TF32 = Arithmetic("tf32", 2, "float32", 2.0**12)
THREE_TF32 = Arithmetic("3xtf32", 2, "float32", 2.0)
FLOAT32 = Arithmetic("float32", 0, "float32", 1.0)
FLOAT64 = Arithmetic("float64", 1, "float64", 0.0)
NAMES = ("auto", "tf32", "3xtf32", "float32", "float64")

# The same as csrc/include/oneglance/precision.h, where they are explained.
EXACT_GRAM_ERROR = 3e-6
SMALL_WORK = 2**31


def is_small_work(n_rows: int, n_dims: int) -> bool:
    return n_rows * n_dims * n_dims < SMALL_WORK


def score_error(arithmetic: Arithmetic, condition: float) -> float:
    """Largest relative error of a_i' G^-1 a_i."""
    return 2e-7 * arithmetic.coarser * condition


def residual_of_rounding(arithmetic: Arithmetic, condition: float, n_rows: int, rank: int) -> float:
    """|P - I|_2 that rounding alone leaves.

    TF32 factors move the iterate itself, which more rows do not average out.
    """
    spread = float(np.sqrt(rank / n_rows))
    return 2e-6 * arithmetic.coarser * condition * (max(spread, 0.1) if arithmetic is TF32 else spread)


def helps(arithmetic: Arithmetic, condition: float, n_rows: int, rank: int) -> bool:
    """Whether passes come near the fixed point before a finer arithmetic finishes."""
    if arithmetic is TF32:
        return residual_of_rounding(arithmetic, condition, n_rows, rank) <= 0.05
    return condition <= 3e3


def suffices(arithmetic: Arithmetic, condition: float) -> bool:
    """Whether the error of a score stays near 3e-6."""
    return arithmetic is not TF32 and condition <= 32.0


def single(library: Library, device: int) -> Arithmetic:
    """What takes the place of float32 on this card: three TF32 products where tensor cores have them."""
    fast = library.selects_tf32 and library.card(device)["capability"] >= 80
    return THREE_TF32 if fast else FLOAT32


def named(products: str, library: Library, device: int) -> Arithmetic | None:
    """The arithmetic asked for; None for "auto"."""
    if products not in NAMES:
        raise InvalidInput(f"products must be one of {list(NAMES)}, got {products!r}.")
    if "tf32" in products and not library.selects_tf32:
        raise InvalidInput(f'products={products!r} cannot be chosen in this {library.name}. Use "auto" or "float32".')
    if products == "auto":
        return None
    return next(each for each in (TF32, THREE_TF32, FLOAT32, FLOAT64) if each.name == products)
