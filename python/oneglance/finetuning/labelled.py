"""Labels of pictures as class numbers, and what of them cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import IntArray
from ..adapt.files import as_classes
from ..errors import InvalidInput

_MISSING = (None, "")


@dataclass(frozen=True, eq=False)
class Labels:
    """rows (m,) of the source, ascending; codes (m,) 0 .. K - 1; names (K,) sorted classes, numbers or texts."""

    rows: IntArray
    codes: IntArray
    names: npt.NDArray[Any]


def as_labels(values: Sequence[Any]) -> Labels:
    """Of one class per row of the source; None, NaN and "" are unlabelled.

    Whole numbers stay numbers where all labels are. Raises InvalidInput: no labels, one class only, no classes.
    """
    known = {row: value for row, value in enumerate(values) if value not in _MISSING and value == value}
    if not known:
        raise InvalidInput(f"labels: none of the {len(values)} pictures has a label. Label some, two classes at least.")
    odd = next((v for v in known.values() if isinstance(v, float) and not v.is_integer()), None)
    if odd is not None:
        raise InvalidInput(f"labels must be classes (names or whole numbers), got {odd!r}. Bin numbers first.")
    plain: dict[int, Any] = {row: int(v) if isinstance(v, float) else v for row, v in known.items()}
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in plain.values()):
        plain = {row: str(v) for row, v in plain.items()}
    names = sorted(set(plain.values()))
    if len(names) < 2:
        raise InvalidInput(
            f"labels hold one class only ({names[0]!r}, {len(plain)} pictures), at least two are needed. "
            "Label pictures of another class as well."
        )
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[value] for value in plain.values()], dtype=np.int64)
    return Labels(np.array(list(plain), dtype=np.int64), codes, as_classes(names))


def usable(labels: Labels, rows: IntArray, bad: dict[int, str], ids: Sequence[str]) -> tuple[Labels, IntArray, str]:
    """The labels of pictures that could be read, their numbers on a shelf with these rows, and what is left out.

    Raises InvalidInput where fewer than two classes remain.
    """
    kept = np.isin(labels.rows, rows)
    numbers = np.searchsorted(rows, labels.rows[kept]).astype(np.int64)
    if kept.all():
        return labels, numbers, ""
    lost = labels.rows[~kept].tolist()
    shown = ", ".join(f"{ids[row]} ({bad.get(row, 'unusable')})" for row in lost[:3])
    words = f"{len(lost)} labelled pictures cannot be used: {shown}{', ...' if len(lost) > 3 else ''}."
    there, codes = np.unique(labels.codes[kept], return_inverse=True)
    if there.size < 2:
        raise InvalidInput(f"labels: {words} The rest holds fewer than two classes. Mend the pictures or label others.")
    gone = [str(labels.names[k]) for k in range(len(labels.names)) if k not in set(there.tolist())]
    if gone:
        words += f" No usable picture is left of {', '.join(gone)}, which the head will not know."
    return Labels(labels.rows[kept], codes.astype(np.int64), labels.names[there]), numbers, words
