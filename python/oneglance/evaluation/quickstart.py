"""The steps of `oneglance quickstart` without a word printed: backbones, split, strategies, verdicts.

The command is a program against these and the public functions `embed`, `open_store` and `select`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidInput
from ..store import FeatureStore
from .compare import HIGHER_IS_BETTER, METRICS, Comparison, Split
from .digits import PARTS, pool_pixels
from .intervals import Interval, verdict
from .pickers import Picker, kmeans_picker, strategy_picker

if TYPE_CHECKING:
    from ..features.small import Trained

SETTINGS = "settings.json"
STORES = {"pool": "store", "held-out": "store-held-out"}
BASELINE = "random"

NAMES = {
    "random": "random",
    "kmeans": "k-means",
    "lewis": "Lewis",
    "lewis_unweighted": "Lewis unweighted",
}
"""Strategies of the comparison and what the table calls them.

"Lewis" uses its importance weights in the loss: over 200 seeds that was better than ignoring them, in
accuracy by 0.013 at 50 labels and 0.003 at 150, and no worse in squared error. The table shows both.
"""

QUANTITIES = {
    "accuracy": "Accuracy on held-out pictures, ridge heads",
    "mse": "Squared error on held-out pictures, ridge heads",
    "pool_mse": "Squared error on the whole pool, heads without penalty: what the theory bounds",
}
SHORT = {"accuracy": "accuracy", "mse": "held-out error", "pool_mse": "pool error"}

PLOTTED = ("random", "kmeans", "lewis")


def claim_folder(out: Path, *, seed: int, epochs: int) -> bool:
    """Make `out`, or take up the quickstart that is there; True when it is taken up.

    What a folder holds depends on the seed and the training, so a folder made with others is refused, and so
    is one with other people's files. Raises InvalidInput.
    """
    wanted = {"format": 1, "seed": seed, "epochs": epochs}
    path = out / SETTINGS
    try:
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found != wanted:
                raise InvalidInput(
                    f"--out {out} was made with {_in_words(found)}, now asked for {_in_words(wanted)}. "
                    "Give another --out, or remove that folder."
                )
            return True
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidInput(
                f"--out {out} exists and was not made by quickstart (no {SETTINGS}). Give another --out."
            )
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(wanted) + "\n")
    except OSError as error:
        raise InvalidInput(f"--out {out} cannot be written: {error.strerror or error}. Give another --out.") from error
    return False


def _in_words(settings: Any) -> str:
    if not isinstance(settings, dict):
        return "other settings"
    return ", ".join(f"--{name} {value}" for name, value in settings.items() if name != "format")


def write_text(path: Path, text: str) -> None:
    """A whole file or none: beside it first, then renamed."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def trained_backbone(name: str, folder: Path, *, seed: int, epochs: int) -> Trained:
    """The small backbone `name`: from `folder`/<name>.pt if it was trained before, else trained and kept.

    It sees the pool's pictures and no label. `elapsed_s` is 0 when it came from the file.
    """
    import torch

    from ..features.small import RECIPES, Trained, train_small_backbone

    path = folder / f"{name}.pt"
    if path.is_file():
        module = RECIPES[name].make()
        module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        return Trained(module.eval().requires_grad_(False), float("nan"), 0.0)
    trained = train_small_backbone(name, pool_pixels(), epochs=epochs, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    torch.save(trained.module.state_dict(), temporary)
    temporary.replace(path)
    return trained


def read_split(stores: dict[str, FeatureStore]) -> Split:
    """Features and labels of both stores; the labels are the sub-folders' names."""
    pool, held_out = (stores[part] for part in PARTS)
    features = [
        {name: np.asarray(store.features(name), dtype=np.float64) for name in store.backbones}
        for store in (pool, held_out)
    ]
    labels = [store.column("label").astype(np.int64) for store in (pool, held_out)]
    return Split(features[0], labels[0], features[1], labels[1])


def quickstart_pickers() -> dict[str, Picker]:
    """The strategies of `NAMES`; "lewis_unweighted" makes the picks of "lewis" and drops their weights."""
    return {
        "random": strategy_picker("random", use_weights=False),
        "kmeans": kmeans_picker(),
        "lewis": strategy_picker("lewis", use_weights=True),
        "lewis_unweighted": strategy_picker("lewis", use_weights=False),
    }


def score_tables(comparison: Comparison, *, wide: bool = True) -> list[tuple[str, list[str], list[list[str]]]]:
    """One table of text per metric: what it is, a header, and a row per budget and strategy.

    wide  False leaves out the interval of the mean (not that of the difference), to fit 80 columns
    """
    header = ["labels", "strategy", "mean [95 %]" if wide else "mean", "minus random [95 %]", "verdict"]
    tables = []
    for metric in METRICS:
        rows = []
        for budget in comparison.budgets:
            for strategy in comparison.strategies:
                mean = comparison.mean(strategy, budget, metric)
                shown = _cell(mean, ".3f") if wide else f"{mean.mean:.3f}"
                cells = [str(budget), NAMES[strategy], shown, "", ""]
                if strategy != BASELINE:
                    difference = comparison.difference(strategy, BASELINE, budget, metric)
                    cells[3] = _cell(difference, "+.3f")
                    cells[4] = verdict(difference, higher_is_better=HIGHER_IS_BETTER[metric])
                rows.append(cells)
        better = "higher" if HIGHER_IS_BETTER[metric] else "lower"
        title = f"{QUANTITIES[metric]} ({better} is better; all labels: {comparison.ceiling[metric]:.3f})"
        tables.append((title, header, rows))
    return tables


def _cell(interval: Interval, digits: str) -> str:
    return f"{interval.mean:{digits}} [{interval.low:{digits}}, {interval.high:{digits}}]"


def summary_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One entry per (strategy, budget, metric): mean, difference to random, and the verdict that allows."""
    rows: list[dict[str, Any]] = []
    for budget in comparison.budgets:
        for strategy in comparison.strategies:
            for metric in METRICS:
                row: dict[str, Any] = {"strategy": strategy, "budget": budget, "metric": metric}
                row["mean"] = asdict(comparison.mean(strategy, budget, metric))
                if strategy != BASELINE:
                    difference = comparison.difference(strategy, BASELINE, budget, metric)
                    row["difference_to_random"] = asdict(difference)
                    row["verdict"] = verdict(difference, higher_is_better=HIGHER_IS_BETTER[metric])
                rows.append(row)
    return rows


def conclusions(comparison: Comparison) -> list[str]:
    """Sentences computed from the intervals: k-means and Lewis against random, Lewis against k-means."""
    pairs = [(name, BASELINE) for name in PLOTTED if name != BASELINE] + [("lewis", "kmeans")]
    sentences = []
    for strategy, other in pairs:
        parts = []
        for metric in METRICS:
            budgets_of: dict[str, list[str]] = {}
            for budget in comparison.budgets:
                difference = comparison.difference(strategy, other, budget, metric)
                word = verdict(difference, higher_is_better=HIGHER_IS_BETTER[metric])
                budgets_of.setdefault(word, []).append(str(budget))
            found = ", ".join(f"{word} at {' and '.join(where)}" for word, where in budgets_of.items())
            parts.append(f"{SHORT[metric]} {found}")
        sentences.append(f"{NAMES[strategy]} against {NAMES[other]}: {'; '.join(parts)} labels.")
    return sentences
