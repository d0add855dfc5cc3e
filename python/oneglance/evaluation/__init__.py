"""How good a selection was: heads on the picked labels, a comparison of strategies, intervals over seeds."""

from .compare import HIGHER_IS_BETTER, METRICS, Comparison, Split, compare
from .heads import HeadScore, RidgeHead, Scaling, fit_ridge_head, one_hot, plain_pool_mse, score_head
from .intervals import Interval, mean_interval, paired_difference, verdict
from .pickers import Picker, Picks, kmeans_picker, strategy_picker

__all__ = [
    "HIGHER_IS_BETTER",
    "METRICS",
    "Comparison",
    "HeadScore",
    "Interval",
    "Picker",
    "Picks",
    "RidgeHead",
    "Scaling",
    "Split",
    "compare",
    "fit_ridge_head",
    "kmeans_picker",
    "mean_interval",
    "one_hot",
    "paired_difference",
    "plain_pool_mse",
    "score_head",
    "strategy_picker",
    "verdict",
]
