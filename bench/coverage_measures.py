"""What a set of picks is worth: linear probes, defect cells, and how well every cell of the pool is covered."""

import numpy as np
from sklearn.metrics import roc_auc_score

from oneglance.evaluation import Scaling, fit_ridge_head, one_hot
from oneglance.evaluation.threads import one_thread

CELL_PENALTY = 1.0  # ridge of the cell probe: leaving one cell out would leave its neighbours in
_BLOCK_CELLS = 1024

# name: (what it is, digits, higher is better)
MEASURES = {
    "accuracy": ("Accuracy of a linear probe on held-out pictures", 3, True),
    "balanced": ("The same, averaged over the classes", 3, True),
    "auroc": ("AUROC of a linear probe for defect cells on held-out pictures", 3, True),
    "covered": ("Share of defect patterns covered: the nearest cell of a picked picture is a defect, too", 3, True),
    "inside": ("Share of defect patterns that lie in a picked picture", 3, True),
    "radius": ("Covering radius: largest cosine distance of a cell to the nearest cell of a picked picture", 3, False),
    "mean": ("Mean cosine distance of a cell to the nearest cell of a picked picture", 4, False),
    "global_radius": ("Covering radius of the mean-pooled features, cosine", 4, False),
}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def distances_to_pictures(queries, rows, offsets):
    """(n, len(queries)) float32: least cosine distance of each query to the cells of each picture."""
    targets, sources = unit(queries).astype(np.float32), unit(rows).astype(np.float32)
    out = np.empty((len(offsets) - 1, len(targets)), dtype=np.float32)
    step = max(1, _BLOCK_CELLS // int(np.diff(offsets).max()))
    for start in range(0, len(out), step):
        ends = offsets[start : start + step + 1]
        cosines = sources[ends[0] : ends[-1]] @ targets.T
        out[start : start + step] = np.maximum.reduceat(cosines, ends[:-1] - ends[0], axis=0)
    np.subtract(1, out, out=out)
    return np.maximum(out, 0, out=out)


class Measures:
    """Everything that does not depend on the picks is computed once, here."""

    def __init__(self, pool):
        self._pool = pool
        self._globals = pool.cells.means()
        self._scaling = Scaling.of(self._globals)
        self._rows = self._scaling.apply(self._globals)
        self._test = self._scaling.apply(pool.test.means())
        n_classes = 1 + int(max(pool.cells.labels.max(), pool.test.labels.max()))
        self._targets = one_hot(pool.cells.labels, n_classes)
        cells = pool.cells
        self._to_cells = distances_to_pictures(cells.rows, cells.rows, cells.offsets)
        each = np.arange(len(cells) + 1)
        self._to_globals = distances_to_pictures(self._globals, self._globals, each)
        self._defects = None if cells.defect is None else _Defects(pool, self._to_cells)

    def __call__(self, picks):
        """{measure: value}"""
        with one_thread():  # many small decompositions
            found = self._probe(picks)
            if self._defects is not None:
                found |= self._defects(picks)
            else:
                del found["balanced"]  # the classes of the other test sets are of one size, or nearly
        distance = self._to_cells[picks].min(axis=0)
        found["radius"] = float(distance.max())
        found["mean"] = float(distance.mean(dtype=np.float64))
        found["global_radius"] = float(self._to_globals[picks].min(axis=0).max())
        return {name: found[name] for name in MEASURES if name in found}

    def _probe(self, picks):
        """Ridge on one-hot classes, its penalty by leave-one-out on the picks, on features of the pool's spread."""
        head = fit_ridge_head(self._rows[picks], self._targets[picks])
        labels = self._pool.test.labels
        hits = head.predict(self._test).argmax(axis=1) == labels
        sizes = np.bincount(labels)
        per_class = np.bincount(labels, weights=hits)[sizes > 0] / sizes[sizes > 0]
        return {"accuracy": float(hits.mean()), "balanced": float(per_class.mean())}


class _Defects:
    """Measures of pools whose defect cells are known."""

    def __init__(self, pool, to_cells):
        self._cells, self._test = pool.cells, pool.test
        self._defect, self._owner = pool.cells.defect, pool.cells.owners()
        self._to_any = to_cells[:, self._defect]
        self._to_defect = np.full_like(self._to_any, np.inf)
        with_defects, starts = np.unique(self._owner[self._defect], return_index=True)
        if with_defects.size:
            rows = self._cells.rows[self._defect]
            self._to_defect[with_defects] = distances_to_pictures(rows, rows, np.append(starts, len(rows)))
        self._scaling = Scaling.of(self._cells.rows)
        self._test_rows = self._scaling.apply(self._test.rows)

    def __call__(self, picks):
        mine = self._cells.of(picks)
        target = self._defect[mine].astype(np.float64)[:, None]
        head = fit_ridge_head(self._scaling.apply(self._cells.rows[mine]), target, penalties=(CELL_PENALTY,))
        score = np.round(head.predict(self._test_rows)[:, 0], 12)  # without a defect among the picks all are equal
        covered = self._to_defect[picks].min(axis=0) <= self._to_any[picks].min(axis=0) + 1e-6
        inside = np.isin(self._owner[self._defect], picks)
        return {
            "auroc": float(roc_auc_score(self._test.defect, score)),
            "covered": float(covered.mean()),
            "inside": float(inside.mean()),
        }
