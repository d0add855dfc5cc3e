"""The one-shot protocol: one selection for the heads of several backbones, against random and iterative labelling."""

from .agreement import Agreement, agreement
from .evaluate import evaluate_one_shot
from .heads import Task, imbalance
from .job import OneShotJob
from .prepare import default_strategies, prepare_one_shot
from .result import OneShot, OneShotContrast
from .rounds import ITERATIVE, disagreement, label_in_rounds, mean_entropy, spread

__all__ = [
    "ITERATIVE",
    "Agreement",
    "OneShot",
    "OneShotContrast",
    "OneShotJob",
    "Task",
    "agreement",
    "default_strategies",
    "disagreement",
    "evaluate_one_shot",
    "imbalance",
    "label_in_rounds",
    "mean_entropy",
    "prepare_one_shot",
    "spread",
]
