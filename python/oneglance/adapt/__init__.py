"""Adapting frozen backbones to few labels: heads for every backbone of a pool."""

from .fit import fit_heads
from .head import Head
from .heads import Heads, load_heads
from .labels_needed import LabelPlan, plan_labels

__all__ = ["Head", "Heads", "LabelPlan", "fit_heads", "load_heads", "plan_labels"]
