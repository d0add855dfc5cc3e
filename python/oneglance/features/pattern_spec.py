"""What to take out of every picture as patterns. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .._check import positive_int, positive_number, seed_int
from ..errors import InvalidInput


@dataclass(frozen=True)
class PatternSpec:
    """FreeSel's local features of a picture, arXiv 2309.17342: at most n_patterns vectors per picture.

    n_patterns      centroids per picture: k-means of its kept patches. A picture with no more kept patches than
                    that keeps these patches themselves; 1 gives their mean
    tau             share of the class token's attention to keep: the smallest set of most attended patches with
                    at least that mass. 1 keeps all
    norm_threshold  where there is no attention (the map of a CNN, attention=False): positions whose L2 norm is
                    greater are kept. Not looked at where attention chooses
    attention       False keeps the patches of a transformer whatever it attends to: for networks without class
                    token, or whose attention cannot be read
    seed            of the k-means, 0 .. 2**63 - 1

    Where nothing is kept, the patch of largest L2 norm is. Raises InvalidInput.
    """

    n_patterns: int = 5
    tau: float = 0.5
    norm_threshold: float = 0.0
    attention: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_patterns", positive_int(self.n_patterns, "n_patterns"))
        object.__setattr__(self, "tau", positive_number(self.tau, "tau", zero_ok=True))
        if self.tau > 1:
            raise InvalidInput(f"tau must lie in 0..1 (a share of the attention), got {self.tau:g}.")
        threshold = positive_number(self.norm_threshold, "norm_threshold", zero_ok=True)
        object.__setattr__(self, "norm_threshold", threshold)
        if not isinstance(self.attention, bool):
            raise InvalidInput(f"attention must be True or False, got {self.attention!r}.")
        object.__setattr__(self, "seed", seed_int(self.seed))

    def words(self, by_attention: bool) -> str:
        """The settings for the manifest; only those that the result depends on."""
        chosen = f"tau {self.tau!r}" if by_attention else f"L2 norm over {self.norm_threshold!r}"
        return f"{chosen}; at most {self.n_patterns} per picture by k-means, seed {self.seed}"


@dataclass(frozen=True)
class PatternHooks:
    """Where a module of one's own keeps its patches: paths as in module.named_modules(), for Backbone(hooks=).

    patches    module whose output holds them: tokens (N, T, d), or a map (N, C, h, w)
    norm       module to pass these tokens through; None takes them as they are
    attention  the attention module whose class token chooses patches; None: no attention
    n_prefix   tokens before the patches: class token, registers
    """

    patches: str
    norm: str | None = None
    attention: str | None = None
    n_prefix: int = 0


def as_pattern_spec(value: Any) -> PatternSpec | None:
    """None and False: no patterns; True: the defaults; an integer: n_patterns; a mapping: fields; or a PatternSpec."""
    if value is None or value is False:
        return None
    if value is True:
        return PatternSpec()
    if isinstance(value, PatternSpec):
        return value
    known = [field.name for field in fields(PatternSpec)]
    if isinstance(value, Mapping):
        unknown = [str(key) for key in value if key not in known]
        if unknown:
            raise InvalidInput(f"patterns has no field {unknown[0]!r}; there are {', '.join(known)}.")
        return PatternSpec(**value)
    if isinstance(value, (int, float)) or hasattr(value, "__index__"):
        return PatternSpec(n_patterns=positive_int(value, "patterns"))
    raise InvalidInput(
        f"patterns must be None, True, a number of patterns per picture, a PatternSpec or a dict of its fields "
        f"({', '.join(known)}), got {type(value).__name__}."
    )
