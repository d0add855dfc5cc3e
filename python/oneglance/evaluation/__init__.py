"""How good a selection was: heads on the picked labels, a comparison of strategies, intervals over seeds."""

from .compare import HIGHER_IS_BETTER, METRICS, Comparison, Split, compare
from .evaluate import evaluate
from .evaluation import Contrast, Evaluation
from .heads import HeadScore, RidgeHead, Scaling, fit_ridge_head, one_hot, plain_pool_mse, score_head
from .intervals import Interval, mean_interval, paired_difference, verdict
from .job import Job
from .one_shot import OneShot, OneShotContrast, evaluate_one_shot, prepare_one_shot
from .pickers import Picker, Picks, UnitLength, kmeans_picker, strategy_picker
from .prepare import HEADS, prepare
from .statistics import Saving, curve_area, holm, label_saving, paired_p_value

__all__ = [
    "HEADS",
    "HIGHER_IS_BETTER",
    "METRICS",
    "Comparison",
    "Contrast",
    "Evaluation",
    "HeadScore",
    "Interval",
    "Job",
    "OneShot",
    "OneShotContrast",
    "Picker",
    "Picks",
    "RidgeHead",
    "Saving",
    "Scaling",
    "Split",
    "UnitLength",
    "compare",
    "curve_area",
    "evaluate",
    "evaluate_one_shot",
    "fit_ridge_head",
    "holm",
    "kmeans_picker",
    "label_saving",
    "mean_interval",
    "one_hot",
    "paired_difference",
    "paired_p_value",
    "plain_pool_mse",
    "prepare",
    "prepare_one_shot",
    "score_head",
    "strategy_picker",
    "verdict",
]
