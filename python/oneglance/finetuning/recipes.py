"""Recipes by name, and the rule that says which of them are worth trying for how many labels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InvalidInput

STARTS = ("base", "adabn", "self_mask")
"""The network before labels are used: as it is, with batch norm statistics of the pool, or masked without labels."""

METHODS = ("probe", "lp_ft", "wise_ft", "lora", "bitfit", "mask")
TRAININGS = {"probe": "probe", "lp_ft": "ft", "wise_ft": "ft", "lora": "lora", "bitfit": "bitfit", "mask": "mask"}
"""Recipe -> what is trained; LP-FT and WiSE-FT share one training."""

ALL = ("probe", "adabn", "self_mask", "lp_ft", "wise_ft", "lora", "bitfit", "mask", "self_mask+wise_ft")

_RULES = ("auto", "all")

FEW_PER_CLASS, MANY_PER_CLASS = 20, 200
FEW_SHARE, MANY_SHARE = 0.02, 0.1
LEAST_POOL = 100
"""Pictures that adaptation without labels needs at least."""


@dataclass(frozen=True)
class Recipe:
    """One way to a network and its head: where it starts, and what the labels do."""

    name: str
    start: str
    method: str

    @property
    def training(self) -> str:
        return TRAININGS[self.method]


def parse_recipe(name: str) -> Recipe:
    """ "probe", "lp_ft", ... from the base; "adabn" and "self_mask" are a probe from there; "self_mask+wise_ft".
    Raises InvalidInput."""
    start, plus, method = name.partition("+")
    if not plus:
        start, method = (name, "probe") if name in STARTS[1:] else ("base", name)
    if start not in STARTS or method not in METHODS or (start == "base" and plus):
        close = difflib.get_close_matches(name, ALL, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(
            f"recipe {name!r} is unknown.{hint} There are {', '.join(ALL)}, 'auto' and 'all'; "
            "'adabn+' or 'self_mask+' before a recipe starts it there."
        )
    return Recipe(name.removesuffix("+probe"), start, method)


def check_names(names: Sequence[str]) -> list[Recipe]:
    """Recipes of names; none for a single "auto" or "all", which stand alone. Raises InvalidInput."""
    if len(names) == 1 and names[0] in _RULES:
        return []
    alone = next((name for name in names if name in _RULES), None)
    if alone is not None:
        raise InvalidInput(f"recipe {alone!r} stands alone. Give it by itself, or names only.")
    return [parse_recipe(name) for name in names]


def choose_recipes(
    asked: str | Sequence[str], *, n_labels: int, n_classes: int, n_pictures: int, batch_norm: bool
) -> tuple[list[Recipe], str]:
    """The recipes to try beside the probe, which is first, and why these.

    asked  "auto": the rule below; "all"; a name or several. batch_norm: the network has batch norms.

    The rule goes by labels per class and by the share of the pool that is labelled, whichever says fewer:
      few   below 20 a class or 2 % of the pool: adapt without labels, then probe
      some  below 200 a class or 10 %: the same, and LP-FT with WiSE-FT from the base and from the adapted network
      many  LP-FT, WiSE-FT and supervised masks
    Pools below 100 pictures cannot be adapted to without labels; WiSE-FT takes the place.
    Source: the low-shot curves of arXiv 2409.07577 (fine-tuning meets the probe at 50 to 200 labels a class), and
    arXiv 2202.10054 for starting from the probe's head.
    """
    names: list[str]
    if isinstance(asked, (list, tuple)) and len(asked) == 1 and asked[0] in _RULES:
        asked = asked[0]
    if asked == "auto":
        per_class, share = n_labels / max(1, n_classes), n_labels / max(1, n_pictures)
        level = min(_level(per_class, FEW_PER_CLASS, MANY_PER_CLASS), _level(share, FEW_SHARE, MANY_SHARE))
        names, words = _rule(level, n_pictures >= LEAST_POOL, batch_norm)
        reason = f"{n_labels} labels, {per_class:.3g} per class and {share:.1%} of {n_pictures} pictures: {words}"
    else:
        names = list(ALL) if asked == "all" else [asked] if isinstance(asked, str) else list(asked)
        if not names or not all(isinstance(name, str) for name in names):
            raise InvalidInput(f"recipe must be 'auto', 'all', a name or a list of names, got {asked!r}.")
        reason = "as asked for: " + ", ".join(names) + "."
    parsed = check_names(["probe", *names])
    recipes = list({recipe.name: recipe for recipe in parsed}.values())  # "adabn" and "adabn+probe" are one
    if not batch_norm:
        left_out = [recipe.name for recipe in recipes if recipe.start == "adabn"]
        recipes = [recipe for recipe in recipes if recipe.start != "adabn"]
        if left_out:
            reason += f" Without batch norms there is no {', '.join(left_out)}."
    return recipes, reason


def _level(value: float, few: float, many: float) -> int:
    return 0 if value < few else 1 if value < many else 2


def _rule(level: int, large_pool: bool, batch_norm: bool) -> tuple[list[str], str]:
    free = [*(["adabn"] if batch_norm else []), *(["self_mask"] if large_pool else [])]
    if level == 2:
        return ["lp_ft", "wise_ft", "mask"], "many labels, so fine-tuning from the probe, and masks by labels."
    if not large_pool:
        return [*free, "wise_ft"], f"few, and fewer than {LEAST_POOL} pictures to adapt to, so WiSE-FT."
    if level == 0:
        return free, "few labels, so adaptation without labels and a probe; fine-tuning is left out."
    return [*free, "wise_ft", "self_mask+wise_ft"], "some labels, so adaptation without labels, and WiSE-FT."
