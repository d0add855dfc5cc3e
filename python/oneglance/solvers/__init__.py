"""Regressions of many rows, each with evidence: arrays in, frozen results out."""

from .logistic import LogisticFit, logistic_path
from .lp import LpFit, lp_regression
from .single_index import SingleIndexFit, single_index

__all__ = ["LogisticFit", "LpFit", "SingleIndexFit", "logistic_path", "lp_regression", "single_index"]
