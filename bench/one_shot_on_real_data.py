"""The one-shot protocol on real features: one selection for the heads of several backbones, against random picks.

Run: python bench/one_shot_on_real_data.py                          (needs ../shared; hours on 2 cores)
     python bench/one_shot_on_real_data.py --pools tiny100 --targets scores --seeds 5 --budgets 500,1000
     python bench/one_shot_on_real_data.py --plan                   (counts and a rough time)
     python bench/one_shot_on_real_data.py --tables                 (from the finished cells, without computing)
     python bench/one_shot_on_real_data.py --summary                (the same, a row per question)
     python bench/one_shot_on_real_data.py --check                  (the comparison by NumPy alone)
     python bench/one_shot_on_real_data.py --full                   (every table of `oneglance evaluate`)

Targets: classes      the classes, least squares to one-hot with a fixed penalty
         scores       ten class scores of another backbone (mnv2): its ridge head's outputs, centred
         components   the ten leading principal coordinates of another backbone (mnv2)
         truth        one target per backbone, linear in its features, plus as much noise of Student's t with 3 degrees
                      of freedom; tested on targets without noise
         statistics   of pictures: mean red, green and blue, and contrast (pool "pictures")
Heads of a regression: ridge, the penalty by leave-one-out on the labels; unpenalised, what the theory is about.
Pools cifar10 and tiny100 are the features of ../shared. Only one in twenty of their rows has its picture there, so the
pool "pictures" is made anew: the 3,000 + 1,000 CIFAR-10 pictures of ../shared/data/images under the three ImageNet
backbones of ../shared/weights, embedded once into --out. Finished cells are kept in --out: a killed run goes on, and
several of these processes started at once share the work.
"""

import argparse
import functools
import sys
from pathlib import Path

import numpy as np

import oneglance as og
from one_shot_tables import budget_header, markdown, summary
from oneglance.evaluation import UnitLength, prepare_one_shot
from oneglance.evaluation.heads import Scaling
from oneglance.evaluation.one_shot.report import sentences, tables
from oneglance.evaluation.probes import ridge_coefficients

SHARED = Path(__file__).resolve().parents[2] / "shared"
POOLS = {"cifar10": ("mnv2", "mnv1_0.5", "sqz"), "tiny100": ("mnv2", "mnv1_0.5", "sqz", "r56"), "pictures": ()}
TARGETS = ("classes", "scores", "components", "truth")
BUDGETS = {"pictures": "100,200,500,1000,2000"}  # of 3,000 rows
WITHHELD = "mnv2"  # its scores and coordinates are targets for the others
_TEN = 10
_NETS = {
    "mnv2": "mobilenet_v2_imagenet.pt?size=128&mean=0.5&std=0.5&name=mnv2",
    "mnv1_0.5": "mobilenet_v1_050_imagenet.pt?size=128&mean=0.5&std=0.5&name=mnv1_0.5",
    "sqz": "squeezenet_11_imagenet.pt?size=128&channels=bgr&scale=255&mean=104,117,123&std=1&name=sqz",
}


def load(pool):
    """Features of the pool and of its test rows {backbone: (n, d)}, and the classes of both."""
    files = {name: np.load(SHARED / "data" / "features" / f"{pool}__{name}.npz") for name in POOLS[pool]}
    first = next(iter(files.values()))
    train, test = ({name: file[part] for name, file in files.items()} for part in ("X_train", "X_test"))
    return train, first["y_train"].astype(np.int64), test, first["y_test"].astype(np.int64)


def pictures(out):
    """Features of the pictures, and their statistics, both parts."""
    from PIL import Image

    found = []
    for part in ("train", "test"):
        source = SHARED / "data" / "images" / "cifar10" / part
        nets = [f"torchscript:{SHARED / 'weights' / name}" for name in _NETS.values()]
        store = og.embed(source, nets, out / f"pictures-{part}.store")
        rows = {name: np.concatenate(list(store.features(name))) for name in store.backbones}
        values = []
        for item in store.item_ids:
            pixels = np.asarray(Image.open(source / item).convert("RGB"), dtype=np.float64)
            values.append([*pixels.mean(axis=(0, 1)), pixels.mean(axis=2).std()])
        found += [rows, np.array(values)]
    return found


@functools.lru_cache(1)
def question(pool, target, out, head):
    """Features of pool and test rows, the labels of both, and the task's arguments."""
    regression = {"task": "regression", "p": 2.0, "head": head}
    if pool == "pictures":
        train, values, test, test_values = pictures(out)
        return train, values, test, test_values, regression
    train, labels, test, test_labels = load(pool)
    if target == "classes":
        return train, labels, test, test_labels, {"head": "ridge"}
    if target == "truth":
        rng = np.random.default_rng(0)
        clean, tested = [], []
        for name, rows in train.items():
            scale = Scaling.of(rows)
            coef = rng.standard_normal(rows.shape[1])
            signal = scale.apply(rows) @ coef
            clean.append(signal / signal.std())
            tested.append(scale.apply(test[name]) @ coef / signal.std())
        noise = rng.standard_t(3, (len(labels), len(train))) / np.sqrt(3.0)
        return train, np.stack(clean, axis=1) + noise, test, np.stack(tested, axis=1), regression
    rows, test_rows = train.pop(WITHHELD), test.pop(WITHHELD)
    if target == "scores":
        unit = UnitLength.of({WITHHELD: rows})
        x, z = unit.apply({WITHHELD: rows}), unit.apply({WITHHELD: test_rows})
        n_classes = 1 + int(labels.max())
        every = n_classes // _TEN
        coef, constant = ridge_coefficients(x, labels, n_classes, None)
        scores, test_scores = ((rows @ coef + constant)[:, ::every] for rows in (x, z))
        centre = scores.mean(axis=0)
        return train, scores - centre, test, test_scores - centre, regression
    scale = Scaling.of(rows)
    x = scale.apply(rows)
    directions = np.linalg.eigh(x.T @ x)[1][:, : -_TEN - 1 : -1]
    return train, x @ directions, test, scale.apply(test_rows) @ directions, regression


def questions(arguments):
    """(pool, target, head) as asked for; classes have one head."""
    for pool in arguments.pools.split(","):
        for target in ["statistics"] if pool == "pictures" else arguments.targets.split(","):
            for head in ["ridge"] if target == "classes" else arguments.heads.split(","):
                yield pool, target, head


def budgets_of(pool, arguments):
    return (arguments.budgets or BUDGETS.get(pool, "200,500,1000,2000,4000")).split(",")


def job_of(pool, target, head, arguments):
    """One question, ready to run, on the test rows that come with the data."""
    train, labels, test, test_labels, how = question(pool, target, arguments.out, head)
    names = list(train)
    strategies = {
        "lewis": "lewis",
        "lewis mean": "lewis:combine=mean",
        f"lewis single:{names[0]}": f"lewis:combine=single:{names[0]}",
        "farthest": "farthest",
    }
    if arguments.strategies:
        strategies = arguments.strategies.split(",")
    return prepare_one_shot(
        train,
        labels,
        strategies,
        budgets_of(pool, arguments),
        arguments.seeds,
        initial=arguments.initial,
        test=(test, test_labels),
        **how,
    )


def check(pool, target, arguments):
    """The comparison once more, by NumPy alone: none of the package's weights, samplers, heads or losses.

    Leverage scores by SVD, their maximum over backbones; a sample without replacement by exponential clocks, whose
    inclusion probabilities are counted over 2,000 further samples; heads by numpy.linalg.lstsq with a constant.
    """
    train, labels, test, test_labels, _ = question(pool, target, arguments.out, "unpenalised")
    n_rows, unit = len(labels), labels.std(axis=0)
    scaled = {name: Scaling.of(rows) for name, rows in train.items()}
    pools = {name: np.column_stack([scaled[name].apply(rows), np.ones(n_rows)]) for name, rows in train.items()}
    tests = {name: np.column_stack([scaled[name].apply(rows), np.ones(len(rows))]) for name, rows in test.items()}
    bases = (np.linalg.svd(rows.astype(np.float64), full_matrices=False)[0] for rows in train.values())
    size = np.max([np.square(basis).sum(axis=1) for basis in bases], axis=0)
    n_initial, rng = int(arguments.initial), np.random.default_rng(1)
    print(f"{pool}, {target}, unpenalised heads, NumPy alone, {arguments.seeds} repetitions, minus random in %")
    for budget in map(int, budgets_of(pool, arguments)):
        found = {"plain": [], "weighted": [], "paper": []}
        counts = np.zeros(n_rows)
        for _ in range(2000):
            counts[np.argsort(rng.exponential(size=n_rows) / size)[:budget]] += 1
        chance = np.maximum(counts, 0.5) / 2000
        for _ in range(arguments.seeds):
            order = rng.permutation(n_rows)
            start, rest = order[:n_initial], order[n_initial:]
            picks = rest[np.argsort(rng.exponential(size=rest.size) / size[rest])[:budget]]
            factor = budget / chance[rest].sum()  # to probabilities among the unlabelled rows
            base = loss(pools, tests, labels / unit, test_labels / unit, order[: n_initial + budget], None)
            for heads, weights in (
                ("plain", None),
                ("weighted", np.concatenate([np.ones(n_initial), budget / (rest.size * factor * chance[picks])])),
                ("paper", np.concatenate([np.ones(n_initial), 1 / (factor * chance[picks])])),
            ):
                rows = np.concatenate([start, picks])
                found[heads].append(loss(pools, tests, labels / unit, test_labels / unit, rows, weights) / base - 1)
        cells = (
            f"{heads} {100 * np.mean(v):+.1f} +- {100 * np.std(v) / len(v) ** 0.5:.1f}" for heads, v in found.items()
        )
        print(f"{budget:6,} picks: {', '.join(cells)}")


def loss(pools, tests, labels, test_labels, rows, weights):
    """Mean squared error on test rows, mean over the heads of all backbones."""
    root = np.ones((len(rows), 1)) if weights is None else np.sqrt(weights)[:, None]
    fits = (np.linalg.lstsq(x[rows] * root, labels[rows] * root, rcond=None)[0] for x in pools.values())
    return np.mean([np.square(z @ fit - test_labels).mean() for z, fit in zip(tests.values(), fits, strict=True)])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", default=",".join(POOLS), help=f"of {', '.join(POOLS)}")
    parser.add_argument("--targets", default=",".join(TARGETS), help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--strategies", help="default: lewis with max, mean and a single backbone's weights, farthest")
    parser.add_argument("--heads", default="ridge,unpenalised", help="of regressions")
    parser.add_argument("--budgets", help="default: 200,500,1000,2000,4000; pictures: half of it")
    parser.add_argument("--initial", default="200")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("one-shot-on-real-data"))
    parser.add_argument("--fresh", action="store_true", help="forget the finished cells")
    parser.add_argument("--plan", action="store_true", help="print counts and a rough time, compute nothing")
    parser.add_argument("--full", action="store_true", help="every table of the evaluation, not the short one")
    parser.add_argument("--check", action="store_true", help="the comparison by NumPy alone, unpenalised heads")
    parser.add_argument("--tables", action="store_true", help="tables from finished cells; refuses if some are missing")
    parser.add_argument(
        "--summary", action="store_true", help="the same, lewis against random only, a row per question"
    )
    arguments = parser.parse_args(argv)
    shown = set()
    for pool, target, head in questions(arguments):
        if arguments.check:
            if head == "unpenalised":
                check(pool, target, arguments)
            continue
        title, out = f"{pool}, {target}, {head} heads", arguments.out / f"{pool}-{target}-{head}"
        job = job_of(pool, target, head, arguments)
        if arguments.plan or arguments.tables or arguments.summary:
            plan = job.plan(job.store(out))
            missing = f"{plan['n_cells'] - plan['n_done']} of {plan['n_cells']} cells missing"
            left = f"{title}: {missing}, about {plan['seconds'] / 60:.0f} min"
            if arguments.plan:
                print(left)
                continue
            if plan["n_done"] < plan["n_cells"]:
                sys.exit(f"{left}. Run without --tables and --summary first, with the same options.")
        found = job.run(out, fresh=arguments.fresh, progress=True)
        if arguments.summary:
            if pool not in shown:
                print("", *budget_header(pool, found), sep="\n")
            shown.add(pool)
            print(*summary(target, head, found), sep="\n")
            continue
        found.to_parquet(out / "runs.parquet")
        text = markdown(title, found)
        if arguments.full:
            lines = [f"## {title}", ""]
            for title, header, body in tables(found):
                lines += [f"**{title}**", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
                lines += ["| " + " | ".join(row) + " |" for row in body] + [""]
            text = "\n".join([*lines, *(f"- {text}" for text in sentences(found)), ""])
        (out / "table.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
