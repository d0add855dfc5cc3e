"""Leverage scores and Lewis weights: arrays in, frozen results out."""

from .leverage import LeverageScores, leverage_report, leverage_scores
from .lewis import LewisWeights, lewis_weights

__all__ = ["LeverageScores", "LewisWeights", "leverage_report", "leverage_scores", "lewis_weights"]
