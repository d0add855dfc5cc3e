"""All trainings of a cross-validation, each once, and the scores of the recipes that share them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .._types import BoolArray
from ..errors import InvalidInput
from ..features.progress import Meter
from ..features.weights import model_hash
from ..store.files import digest
from .cells import read_outputs, write_outputs
from .folds import Cell
from .judging import LEVEL, Outputs, Score, failed, score
from .recipes import Recipe
from .workshop import Workshop


class Trials:
    """folder: where outputs are kept and looked for, None: nowhere. done: trainings carried out by this run."""

    def __init__(self, shop: Workshop, folder: Path | None) -> None:
        self.shop, self.folder, self.done = shop, folder, 0
        shelf = shop.pool.shelf
        parts = (shop.numbers.tolist(), shop.codes.tolist(), shelf.rows.tolist(), shop.plan, shop.crops)
        base = shop.pool.net.backbone
        seen = (base.preprocessing, base.pool, base.output)  # the shelf's hash is of pictures as decoded
        who = (model_hash(base.module), shelf.content, repr(seen), repr(parts))
        self._mark = digest(*(part.encode() for part in who))
        if folder is not None:
            shop.checkpoint = folder / f"self_mask-{self._mark[:16]}.pt"

    def run(self, recipes: Sequence[Recipe], cells: Sequence[Cell]) -> tuple[list[Score], list[Score]]:
        """Scores with all labels in the order of the recipes, and those of smaller counts; ([], []) without cells.

        A recipe that fails (a loss that is no number, nothing to train) has its reason as score; the others go on.
        """
        counts = sorted({cell.count for cell in cells if cell.count is not None})
        meter = Meter("finetune", 0, len(cells) * len({_key(recipe) for recipe in recipes}), self.shop.callback)
        full: list[Score] = []
        curve: list[Score] = []
        for count in (*counts, None):
            here = [cell for cell in cells if cell.count == count]
            if here:
                (full if count is None else curve).extend(self._scores(recipes, here, meter))
        return full, curve

    def _scores(self, recipes: Sequence[Recipe], cells: list[Cell], meter: Meter) -> list[Score]:
        level = 1 - (1 - LEVEL) / max(1, len(recipes) - 1)  # Bonferroni
        outputs: dict[tuple[str, str], list[Outputs] | str] = {}
        baseline: list[BoolArray] | None = None
        scores = []
        for recipe in recipes:
            key = _key(recipe)
            if key not in outputs:
                outputs[key] = self._outputs(recipe, cells, _alphas(recipe, recipes, self.shop.plan.alphas), meter)
            found = outputs[key]
            if isinstance(found, str):
                scores.append(failed(recipe, cells[0].count, found))
                continue
            one, hits = score(recipe, cells, found, self.shop.codes, baseline, level)
            baseline = hits if baseline is None else baseline
            scores.append(one)
        return scores

    def _outputs(
        self, recipe: Recipe, cells: list[Cell], alphas: tuple[float, ...], meter: Meter
    ) -> list[Outputs] | str:
        """One per cell, or why there are none."""
        try:
            return [self._cell(recipe, cell, alphas, meter) for cell in cells]
        except InvalidInput as error:
            if recipe.name == "probe":
                raise
            return str(error)

    def _cell(self, recipe: Recipe, cell: Cell, alphas: tuple[float, ...], meter: Meter) -> Outputs:
        place = None if self.folder is None else self.folder / self._name(recipe, cell, alphas)
        if place is not None and place.exists():
            meter.advance(1, 0)
            return read_outputs(place)
        found = self.shop.outputs(recipe, cell.train, cell.held, alphas)
        self.done += 1
        if place is not None and recipe.training != "probe":  # a probe is fitted sooner than it is read
            write_outputs(place, found)
        meter.advance(1, 0)
        return found

    def _name(self, recipe: Recipe, cell: Cell, alphas: tuple[float, ...]) -> str:
        who = repr((alphas, cell.train.tolist(), cell.held.tolist()))
        mark = digest(self._mark.encode(), who.encode())[:16]
        count = "all" if cell.count is None else str(cell.count)
        return f"{recipe.start}-{recipe.training}-{count}-{cell.repeat}-{cell.fold}-{mark}.npz"


def _key(recipe: Recipe) -> tuple[str, str]:
    return recipe.start, recipe.training


def _alphas(recipe: Recipe, recipes: Sequence[Recipe], asked: tuple[float, ...]) -> tuple[float, ...]:
    """What a training is evaluated at: both ends and between them for WiSE-FT, the end alone for LP-FT."""
    if recipe.training != "ft":
        return ()
    wise = any(other.method == "wise_ft" and _key(other) == _key(recipe) for other in recipes)
    return tuple(sorted({0.0, 1.0, *asked})) if wise else (1.0,)
