"""`oneglance adapt`: from a few labels to predictions."""

from __future__ import annotations

import click

from .lazy import LazyGroup

MODULES = {"heads": "adapt_heads", "masks": "adapt_masks", "finetune": "adapt_finetune", "predict": "adapt_predict"}


@click.group(cls=LazyGroup, modules=MODULES, short_help="Turn a few labels into predictions.")
def adapt() -> None:
    """Turn the labels of a few picks into predictions for the whole pool.

    First heads, which fits a head on every backbone; then predict, which also says which items are least certain:
    those are worth labelling next. masks adapts a backbone itself, without labels; finetune tunes it on few, where that
    beats the plain probe.
    """
