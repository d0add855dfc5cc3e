"""Adapting frozen backbones to few labels: heads for every backbone of a pool."""

from .fit import fit_heads
from .head import Head
from .heads import Heads, load_heads

__all__ = ["Head", "Heads", "fit_heads", "load_heads"]
