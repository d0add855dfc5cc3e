"""Computes every case of the contract with the active instruction set and saves the answers.

Run in a process of its own per ONEGLANCE_ISA: the set is chosen once, at import.
Usage: python battery.py OUT.npz
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from matrices import DTYPES, NORMS, matrices

from oneglance import _core

LEWIS_TOL = 1e-6


def main(out):
    answers = {"isa": np.array(_core.build_info()["isa_active"])}
    for path, small_work in (("small", 2**31), ("large", 0)):
        _core.set_small_work(small_work)
        for name, matrix in matrices():
            for dtype in DTYPES:
                x = np.ascontiguousarray(matrix.astype(dtype))
                key = f"{path}/{name}/{dtype}"
                answers[f"{key}/leverage"] = _core.leverage_scores([x], None, None)[0]
                for p in NORMS:
                    weights, rank, _, residual, converged, *_ = _core.lewis_weights([x], p, LEWIS_TOL, 100, None)
                    answers[f"{key}/lewis_{p:g}"] = weights
                    answers[f"{key}/evidence_{p:g}"] = np.array([rank, residual, converged])
    np.savez(out, **answers)


if __name__ == "__main__":
    main(sys.argv[1])
