"""Do two-stage sampling, determinant-type spread, or sampling around rows that have labels beat plain Lewis sampling?

Run: python bench/beyond_lewis.py --json bench/results/beyond_lewis.json     (needs ../shared; 10 minutes on 2 cores)
     python bench/beyond_lewis.py --pools neu --seeds 3 --json /tmp/beyond.json
     python bench/beyond_lewis.py --tables --json bench/results/beyond_lewis.json

Heads: ridge on standardised features and one-hot classes, penalty by leave-one-out, one per backbone, weights of the
picks in the loss. Measured: mean over backbones of the mean squared error on the test rows. A figure is the ratio to
`bernoulli` (strategy lewis, p = 2, maximum over backbones) of the same seed, its mean over seeds and a 95 % interval.

  pivotal     the same inclusion probabilities, spread over the features
  random      the same number at random
  two-stage   half by bernoulli; heads on these foretell the squared error of every other item, p (1 - p) summed over
              classes; the other half in proportion to the largest sqrt(leverage x that); weights are those of the mean
              of both estimates, each without bias
  determinant randomly pivoted Cholesky on the joint features: each pick in proportion to what the picks before leave
              of its squared norm (Chen, Epperly, Tropp and Webber 2022); equal weights, as none are known
With a fifth of the budget labelled beforehand, at random; ratios to `bernoulli` beside these, all with weight as below:
  around      the rest in proportion to the largest leverage against the labelled rows alone, scaled up to the pool,
              with a ridge of the mean eigenvalue; labelled rows count as themselves, picks by 1 / probability
"""

import argparse
import json
from pathlib import Path

import numpy as np

import oneglance as og
from oneglance.evaluation.heads import Scaling, fit_ridge_head, one_hot
from oneglance.strategies import as_pool
from oneglance.strategies.sampling import bernoulli
from strategies_on_real_data import POOLS, load

BUDGETS = {"cifar10": (200, 600), "tiny100": (400, 1000), "neu": (60, 200)}


class Bed:
    """One pool: features by backbone as they are and scaled, targets, test rows."""

    def __init__(self, name):
        train, labels, test, test_labels = load(name, POOLS[name])
        self.n_classes = int(labels.max()) + 1
        self.pool = as_pool({key: rows.astype(np.float32) for key, rows in train.items()})
        scalings = {key: Scaling.of(rows) for key, rows in train.items()}
        self.rows = {key: scalings[key].apply(rows).astype(np.float32) for key, rows in train.items()}
        self.test = {key: scalings[key].apply(rows).astype(np.float32) for key, rows in test.items()}
        self.targets, self.test_targets = one_hot(labels, self.n_classes), one_hot(test_labels, self.n_classes)
        self.leverage = {key: og.lewis_weights(rows, 2.0).weights for key, rows in self.pool.features.items()}
        self.joint = np.hstack([rows / np.sqrt(rows.shape[1]) for rows in self.rows.values()])
        self.n = len(self.joint)

    def heads(self, at, weights):
        return {key: fit_ridge_head(rows[at], self.targets[at], weights) for key, rows in self.rows.items()}

    def error(self, at, weights):
        """Mean over backbones of the mean squared error on the test rows."""
        heads = self.heads(at, weights)
        wrong = [head.predict(self.test[key]) - self.test_targets for key, head in heads.items()]
        return float(np.mean([np.square(part).sum(axis=1).mean() for part in wrong]))


def by_lewis(bed, budget, seed, **asked):
    picks = og.select(bed.pool, budget, seed=seed, **asked)
    return picks.indices, picks.weights


def two_stage(bed, budget, seed):
    first, weights = by_lewis(bed, budget // 2, seed)
    left = np.ones(bed.n, dtype=bool)
    left[first] = False
    wanted = np.zeros(bed.n)
    for key, head in bed.heads(first, weights).items():
        share = np.clip(head.predict(bed.rows[key]), 0.0, None)
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
        wrong = (share * (1.0 - share)).sum(axis=1) + 0.05
        wanted = np.maximum(wanted, np.sqrt(bed.leverage[key] * wrong))
    rest = np.flatnonzero(left)
    drawn = bernoulli(wanted[rest], budget - first.size, seed=seed, stream=1)
    part = (budget - first.size) / budget  # of the second estimate: labelled rows as themselves, and what it drew
    return (
        np.concatenate([first, rest[drawn.indices]]),
        np.concatenate([(1.0 - part) * weights + part, part * drawn.weights]),
    )


def determinant(bed, budget, seed):
    """Randomly pivoted Cholesky of the Gram matrix of all rows."""
    rng = np.random.default_rng(seed)
    left = np.einsum("ij,ij->i", bed.joint, bed.joint).astype(np.float64)
    factor = np.zeros((bed.n, budget), dtype=np.float32)
    picks = []
    for k in range(budget):
        pick = int(rng.choice(bed.n, p=left / left.sum()))
        column = bed.joint @ bed.joint[pick] - factor[:, :k] @ factor[pick, :k]
        factor[:, k] = column / np.sqrt(max(column[pick], 1e-12))
        left = np.maximum(left - np.square(factor[:, k], dtype=np.float64), 0.0)
        picks.append(pick)
        left[picks] = 0.0
    return np.array(picks), None


def around(bed, budget, seed, lewis):
    """A fifth labelled at random; the rest by `lewis`, or by leverage against the labelled rows."""
    rng = np.random.default_rng(1000 + seed)
    done = np.sort(rng.choice(bed.n, budget // 5, replace=False))
    rest = np.setdiff1d(np.arange(bed.n), done)
    wanted = np.zeros(rest.size)
    for key, rows in bed.pool.features.items():
        if lewis:
            wanted = np.maximum(wanted, bed.leverage[key][rest])
            continue
        known, every = np.asarray(rows.take(done), np.float64), np.asarray(rows, np.float64)
        form = known.T @ known * (bed.n / done.size)
        form[np.diag_indices_from(form)] += np.trace(form) / len(form)
        wanted = np.maximum(wanted, np.einsum("ij,ij->i", every[rest] @ np.linalg.inv(form), every[rest]))
    drawn = bernoulli(wanted, budget - done.size, seed=seed, stream=2)
    return np.concatenate([done, rest[drawn.indices]]), np.concatenate([np.ones(done.size), drawn.weights])


RULES = {
    "bernoulli": by_lewis,
    "pivotal": lambda bed, budget, seed: by_lewis(bed, budget, seed, sampler="pivotal"),
    "random": lambda bed, budget, seed: by_lewis(bed, budget, seed, strategy="random"),
    "two-stage": two_stage,
    "determinant": determinant,
    "bernoulli beside labels": lambda bed, budget, seed: around(bed, budget, seed, lewis=True),
    "around": lambda bed, budget, seed: around(bed, budget, seed, lewis=False),
}
AGAINST = {"around": "bernoulli beside labels"}


def tables(found):
    """Ratios to the baseline of the same seed, as Markdown."""
    rules = [name for name in RULES if name not in ("bernoulli", "bernoulli beside labels")]
    print("| pool, budget | error of bernoulli | " + " | ".join(rules) + " |\n" + "|---" * (len(rules) + 2) + "|")
    for case in sorted({key.rpartition("/")[0].rpartition("/")[0] for key in found}):
        cells = []
        for name in rules:
            base = AGAINST.get(name, "bernoulli")
            seeds = sorted({key.rpartition("/")[2] for key in found if key.startswith(f"{case}/{name}/")})
            pairs = [(found[f"{case}/{name}/{s}"], found.get(f"{case}/{base}/{s}")) for s in seeds]
            ratios = np.array([one / other for one, other in pairs if other])
            wide = (
                t_quantile(ratios.size - 1) * ratios.std(ddof=1) / np.sqrt(ratios.size) if ratios.size > 1 else np.nan
            )
            cells.append(f"{ratios.mean():.3f} ± {wide:.3f}")
        least = np.mean([value for key, value in found.items() if key.startswith(f"{case}/bernoulli/")])
        print(f"| {case.replace('/', ', ')} | {least:.3f} | " + " | ".join(cells) + " |")


def t_quantile(freedom):
    from scipy.stats import t

    return t.ppf(0.975, max(freedom, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", default=",".join(BUDGETS))
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--json", type=Path, required=True, help="finished cells are kept here")
    parser.add_argument("--tables", action="store_true", help="print the table of what is there")
    asked = parser.parse_args()
    found = json.loads(asked.json.read_text()) if asked.json.exists() else {}
    for name in () if asked.tables else asked.pools.split(","):
        bed = Bed(name)
        for seed in range(asked.seeds):
            for budget in BUDGETS[name]:
                for rule, pick in RULES.items():
                    cell = f"{name}/{budget}/{rule}/{seed}"
                    if cell not in found:
                        found[cell] = bed.error(*pick(bed, budget, seed))
            asked.json.write_text(json.dumps(found, indent=0) + "\n")
            print(f"{name}: seed {seed} done", flush=True)
    tables(found)


if __name__ == "__main__":
    main()
