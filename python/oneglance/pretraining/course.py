"""How a training went: what the record and the checkpoint keep."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Course:
    """Of one training, over all its stages and over the runs it took.

    curve    one entry per epoch: stage, epoch, loss, lr and the objective's scalars, means over the epoch's steps
    sums     of the epoch under way: name -> sum over `n` steps
    wall_s, cpu_s   seconds on the clock and of this process's cores, reading the pictures aside
    alarms   what the monitors said, with stage and epoch
    sheet    picture (height, width, 3) uint8 of what was told of hidden patches, where some were
    """

    curve: list[dict[str, float | int | str]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    n: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    alarms: list[str] = field(default_factory=list)
    sheet: Tensor | None = None

    def add(self, values: dict[str, float]) -> None:
        """One step's numbers."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.n += 1

    def end_epoch(self, stage: str, epoch: int, lr: float, more: dict[str, float]) -> None:
        """Closes the epoch under way."""
        means = {name: value / max(1, self.n) for name, value in self.sums.items()}
        self.curve.append({"stage": stage, "epoch": epoch, "lr": lr, **means, **more})
        self.sums, self.n = {}, 0
