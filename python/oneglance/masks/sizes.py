"""What a mask file weighs, and against what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MaskSizes:
    """Bytes of a mask file: streams of masks, buffers, header with the index; and what that means per masked weight.

    n_weights, kept  masked weights, and those of them that are kept
    """

    n_weights: int
    kept: int
    mask_bytes: int
    buffer_bytes: int
    header_bytes: int
    file_bytes: int

    @property
    def mask_bits_per_weight(self) -> float:
        """Of the masks alone: neither header nor buffers."""
        return 8 * self.mask_bytes / max(self.n_weights, 1)

    @property
    def file_bits_per_weight(self) -> float:
        """Of all that is in the file."""
        return 8 * self.file_bytes / max(self.n_weights, 1)

    def times_smaller(self, bits: int = 32, *, buffers: bool = True) -> float:
        """The masked weights in `bits` (32: float32, 16: float16) against the file, with or without its buffers."""
        return self.n_weights * bits / 8 / (self.file_bytes - (0 if buffers else self.buffer_bytes))

    def __str__(self) -> str:
        return (
            f"{self.file_bytes} B: masks {self.mask_bytes}, buffers {self.buffer_bytes}, header {self.header_bytes}. "
            f"{self.n_weights} masked weights, {100 * self.kept / max(self.n_weights, 1):.2f} % kept, "
            f"{self.file_bits_per_weight:.3f} bits each ({self.mask_bits_per_weight:.3f} the masks alone), "
            f"{self.times_smaller(32):.1f} times smaller than float32 and {self.times_smaller(16):.1f} than float16 "
            f"({self.times_smaller(32, buffers=False):.1f} and {self.times_smaller(16, buffers=False):.1f} without "
            "buffers)"
        )
