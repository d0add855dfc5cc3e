"""Which recipe is used in the end, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .judging import PROBE, Score, Variant, winner
from .recipes import Recipe
from .settings import Tuning

_WISE = 0.5


@dataclass(frozen=True)
class Used:
    """The recipe in use, what of its training, and the temperature of its logits."""

    recipe: Recipe
    variant: Variant
    temperature: float


def choose(scores: Sequence[Score], recipes: Sequence[Recipe], plan: Tuning, roll_back: bool) -> tuple[Used, str]:
    """The recipe that is better than the probe for certain, the probe where none is; without roll_back the best one.

    scores  as the recipes, the probe first; none where the labels allow no verdict
    """
    by_name = {recipe.name: recipe for recipe in recipes}
    others = [recipe for recipe in recipes if recipe.name != PROBE]
    if not others:
        return _used(by_name[PROBE], scores), "Nothing but the plain probe was asked for."
    if not scores:
        if roll_back:
            return Used(by_name[PROBE], Variant(), 1.0), "Nothing could be judged, so the plain probe is used."
        return Used(
            others[0], default_variant(others[0], plan), 1.0
        ), f"{others[0].name} as asked for, without a verdict."
    won = winner(scores)
    if won is not None and won.gain is not None:
        change = f"{won.gain.mean:+.3f} ({won.gain.low:+.3f} to {won.gain.high:+.3f})"
        return _used(by_name[won.recipe], scores), f"{won.recipe} is better than the plain probe, by {change}."
    tried = [found for found in scores if found.gain is not None]
    if not tried:
        return _used(by_name[PROBE], scores), "No other recipe could be trained, so the plain probe is used."
    best = max(tried, key=lambda found: found.gain.mean if found.gain else 0.0)
    change = f"{best.gain.mean:+.3f} ({best.gain.low:+.3f} to {best.gain.high:+.3f})" if best.gain else ""
    words = f"the best, {best.recipe}, changes accuracy by {change}: {best.verdict}"
    if roll_back:
        return _used(by_name[PROBE], scores), f"No recipe beats the plain probe for certain ({words}), so it is used."
    return _used(by_name[best.recipe], scores), f"Kept as asked for, though {words}."


def the_probe(recipes: Sequence[Recipe], scores: Sequence[Score]) -> Used:
    """What is used where nothing else can be."""
    return _used(next(recipe for recipe in recipes if recipe.name == PROBE), scores)


def default_variant(recipe: Recipe, plan: Tuning) -> Variant:
    """Of a recipe that nothing could be chosen for: the whole training, WiSE-FT in the middle."""
    if recipe.training in ("probe", "mask"):
        return Variant()
    alpha = {"wise_ft": _WISE, "lp_ft": 1.0}.get(recipe.method)
    return Variant(alpha, plan.steps, plan.lr[0])


def _used(recipe: Recipe, scores: Sequence[Score]) -> Used:
    found = next((one for one in scores if one.recipe == recipe.name), None)
    if found is None or found.variant is None:
        return Used(recipe, Variant(), 1.0)
    return Used(recipe, found.variant, found.temperature)
