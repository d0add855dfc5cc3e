"""The pool's pictures for training: decoded once, kept as bytes where memory allows, handed out as 0..1 tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .._check import positive_int
from ..errors import BadData, InvalidInput
from ..features.loading import preprocessed
from ..features.pictures import BadPictureError, Pictures
from ..features.preprocess import Preprocess
from ..features.progress import Callback, Meter
from ..store.files import digest_of

MAX_RAM_BYTES = 2 << 30
_AHEAD, _SAMPLE = 1024, 64

_Loaded: TypeAlias = "tuple[Tensor | None, bytes, str]"  # a picture or None, its digest, why it is None


@dataclass(frozen=True)
class Levels:
    """Between what is kept, the 0..1 in which pictures are changed, and what goes into the network.

    kept pixels are bytes in RGB (bgr, factor, mean, std as in Preprocess), or floats that are preprocessed already:
    then low and high per channel become 0 and 1, and the network gets the floats back.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    factor: float = 1.0
    bgr: bool = False

    def to_unit(self, kept: Tensor) -> Tensor:
        low, high = self._column(self.low, kept), self._column(self.high, kept)
        return (kept.float() - low) / (high - low)

    def to_input(self, unit: Tensor) -> Tensor:
        if not self.mean:
            low, high = self._column(self.low, unit), self._column(self.high, unit)
            return unit * (high - low) + low
        unit = unit.flip(1) if self.bgr else unit
        return (unit * self.factor - self._column(self.mean, unit)) / self._column(self.std, unit)

    @staticmethod
    def _column(values: Sequence[float], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=like.device).view(1, -1, 1, 1)


@dataclass
class Shelf:
    """Usable pictures by number 0 .. len - 1.

    rows      their rows in the source, ascending    bad   row of the source -> reason
    size      (height, width) of what the network gets without augmentation; kept pictures may be larger
    content   hash of all pictures as decoded
    """

    levels: Levels
    size: tuple[int, int]
    rows: np.ndarray[Any, np.dtype[np.int64]]
    content: str
    shape: tuple[int, int, int]
    bad: dict[int, str] = field(default_factory=dict)
    _kept: Tensor | None = None
    _load: Callable[[int], Tensor] | None = None
    _pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_channels(self) -> int:
        return self.shape[0]

    def unit(self, numbers: Tensor, device: torch.device) -> Tensor:
        """(B, C, H, W) in 0..1 on the device, for augmentation."""
        if self._kept is not None:
            kept = self._kept[numbers]
        elif self._load is not None and self._pool is not None:
            kept = torch.stack(list(self._pool.map(self._load, self.rows[numbers.numpy()].tolist())))
        else:
            raise RuntimeError("a shelf has neither pictures nor a way to load them")
        return self.levels.to_unit(kept.to(device))

    def plain(self, numbers: Tensor, device: torch.device) -> Tensor:
        """(B, C, *size) as the network gets pictures without augmentation."""
        unit = self.unit(numbers, device)
        top, left = ((have - want) // 2 for have, want in zip(unit.shape[2:], self.size, strict=True))
        return self.levels.to_input(unit[:, :, top : top + self.size[0], left : left + self.size[1]])

    def close(self) -> None:
        """Ends the decoding threads, where there are any."""
        if self._pool is not None:
            self._pool.shutdown()

    def part(self, numbers: Sequence[int] | Tensor) -> Shelf:
        """A shelf of some of the pictures; nothing is copied but the kept bytes of these."""
        chosen = torch.as_tensor(numbers, dtype=torch.int64)
        kept = None if self._kept is None else self._kept[chosen]
        return replace(self, rows=self.rows[chosen.numpy()], _kept=kept)


def fill_shelf(
    pictures: Pictures,
    preprocess: Callable[..., Any],
    *,
    max_bad_fraction: float = 0.1,
    max_ram_bytes: int = MAX_RAM_BYTES,
    workers: int = 1,
    callback: Callback | None = None,
    sources: Sequence[str] | None = None,
) -> Shelf:
    """Decodes every picture once; keeps them up to max_ram_bytes, beyond that decodes again at every use.

    preprocess  a Preprocess: pictures are kept as bytes at the size before its last crop, and changed before its mean
                and std. Any other function, and float pictures: its result is kept and changed between its 0.5 and
                99.5 percentile per channel, of 64 pictures spread over the pool
    sources     where each picture is from, to be named in reasons and errors; without them its number is

    Raises InvalidInput (no picture, other shapes), BadData (more than max_bad_fraction cannot be used).
    """
    positive_int(workers, "workers")
    if not 0 <= max_bad_fraction <= 1:
        raise InvalidInput(f"max_bad_fraction must lie in 0..1, got {max_bad_fraction!r}.")
    load = _loader(pictures, preprocess)
    looked_at = set(np.linspace(0, len(pictures) - 1, min(_SAMPLE, len(pictures))).astype(np.int64).tolist())

    def named(row: int) -> str:
        return f"number {row}" if sources is None else sources[row]

    bad: dict[int, str] = {}
    rows: list[int] = []
    marks: list[bytes] = []
    kept: Tensor | None = None
    shape: tuple[int, ...] | None = None
    sample: list[Tensor] = []
    meter = Meter("read", 0, len(pictures), callback)
    with ThreadPoolExecutor(workers) as pool:
        for row, (tensor, mark, reason) in enumerate(_in_order(pool, load, len(pictures))):
            meter.advance(1, len(bad) + (tensor is None))
            if tensor is None:
                bad[row] = reason if sources is None else f"{sources[row]}: {reason}"
                continue
            if shape is None:
                shape = tuple(tensor.shape)
                room = tensor.numel() * tensor.element_size() * len(pictures)
                kept = torch.empty((len(pictures), *shape), dtype=tensor.dtype) if room <= max_ram_bytes else None
            if sample and tensor.dtype != sample[0].dtype:
                raise InvalidInput(
                    f"images: picture {named(row)} is {tensor.dtype}, others {sample[0].dtype}. Give pictures of one "
                    "kind."
                )
            if tuple(tensor.shape) != shape:
                raise InvalidInput(
                    f"images: picture {named(row)} has shape {tuple(tensor.shape)} after preprocessing, others "
                    f"{shape}. Training needs one size: give the backbone a Preprocess(size=...)."
                )
            if kept is not None:
                kept[len(rows)] = tensor
            if not sample or row in looked_at:
                sample.append(tensor)
            rows.append(row)
            marks.append(mark)
    if not rows or shape is None:
        first = f" The first: {next(iter(bad.values()))}." if bad else ""
        raise InvalidInput(f"images: none of the {len(pictures)} pictures can be used.{first}")
    if len(bad) > max_bad_fraction * len(pictures):
        row, reason = next(iter(bad.items()))
        which = reason if sources is not None else f"number {row}: {reason}"
        raise BadData(
            f"images: {len(bad)} of {len(pictures)} pictures cannot be used, e.g. {which}. "
            f"Mend them, or raise max_bad_fraction= / --max-bad-fraction from {max_bad_fraction:g}."
        )
    n_channels, height, width = shape
    levels, size = _levels(preprocess, sample, (height, width))
    content = digest_of(marks)
    at = np.array(rows, dtype=np.int64)
    if kept is not None:
        return Shelf(levels, size, at, content, (n_channels, height, width), bad, kept[: len(rows)])

    def again(row: int) -> Tensor:
        tensor, _, reason = load(row)
        if tensor is None:
            raise BadData(
                f"images: picture {named(row)} could be read before, but not now: {reason}. Bring it back and run the "
                "same again."
            )
        return tensor

    return Shelf(levels, size, at, content, (n_channels, height, width), bad, None, again, ThreadPoolExecutor(workers))


def _in_order(pool: ThreadPoolExecutor, load: Callable[[int], _Loaded], n_rows: int) -> Iterator[_Loaded]:
    """Rows in order, at most _AHEAD of them decoded before they are asked for."""
    for first in range(0, n_rows, _AHEAD):
        yield from pool.map(load, range(first, min(first + _AHEAD, n_rows)))


def _loader(pictures: Pictures, preprocess: Callable[..., Any]) -> Callable[[int], _Loaded]:
    larger: Preprocess | None = None
    if type(preprocess) is Preprocess:
        whole = preprocess.fit == "crop" and preprocess.resize is not None
        larger = replace(preprocess, size=preprocess.resize) if whole else preprocess

    def load(row: int) -> _Loaded:
        try:
            picture, mark = pictures.load(row)
            if isinstance(picture, np.ndarray) or larger is None:
                tensor = preprocessed(preprocess, picture).float()
                if not torch.isfinite(tensor).all():
                    raise BadPictureError("NaN or infinity among its values")
            else:
                array = np.array(larger.place(picture), dtype=np.uint8)
                tensor = torch.from_numpy(array).permute(2, 0, 1).contiguous()
            if tensor.ndim != 3:
                raise BadPictureError(f"preprocessing returned shape {tuple(tensor.shape)}, (C, H, W) is needed")
        except BadPictureError as error:
            return None, b"", str(error)
        return tensor, mark, ""

    return load


def _levels(preprocess: Any, sample: Sequence[Tensor], kept_size: tuple[int, int]) -> tuple[Levels, tuple[int, int]]:
    if sample[0].dtype == torch.uint8:
        size = preprocess.sides or kept_size
        mean, std = tuple(preprocess.mean), tuple(preprocess.std)
        n = len(mean)
        return Levels((0.0,) * n, (255.0,) * n, mean, std, preprocess.scale, preprocess.channels == "bgr"), size
    values = torch.stack(list(sample)).transpose(0, 1).flatten(1).double().numpy()
    low, high = np.quantile(values, [0.005, 0.995], axis=1)
    high = np.where(high > low, high, low + 1.0)
    return Levels(tuple(low.tolist()), tuple(high.tolist())), kept_size
