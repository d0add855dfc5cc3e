"""What an audit finds of faults planted into the pictures and features of ../shared, and what it says without them.

Run: python bench/audit_on_real_data.py    (a few minutes; prints the Markdown table of docs/audit.md)
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

import oneglance as og

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_QUALITY = (95, 60, 30)


def shown(found, check, about=None):
    """Items listed, or -; duplicates and leaks by the number of pairs' second items."""
    one = found.find(check, about)
    if one is None:
        return set()
    rows = one.rows[one.outside] if one.outside.any() else one.rows[one.drop] if one.drop.any() else one.rows
    ids = found.against_ids if one.outside.any() else found.ids
    return {str(row) if ids is None else str(ids[row]) for row in rows}


def line(fault, planted, found, every=frozenset()):
    """every: all items with some planted fault; others are those without one."""
    caught = len(planted & found)
    print(f"| {fault} | {len(planted)} | {caught} | {len(found - planted - every)} |")


def pictures(folder):
    """Faults in a copy of the CIFAR-10 pictures, 30 each."""
    pool = folder / "pool"
    shutil.copytree(SHARED / "images" / "cifar10" / "train", pool)
    files = sorted(path for path in pool.rglob("*") if path.is_file())
    before = og.audit(str(pool))
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(files))[:330]
    parts = [[files[i] for i in chosen[start : start + 30]] for start in range(0, 330, 30)]
    names = [{path.relative_to(pool).as_posix() for path in part} for part in parts]
    for path in parts[0]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for path, source in zip(parts[1], parts[2], strict=True):
        path.write_bytes(source.read_bytes())
    for k, (path, source) in enumerate(zip(parts[3], parts[4], strict=True)):
        Image.open(source).save(path, quality=_QUALITY[k % 3])
    for path, source in zip(parts[5], parts[6], strict=True):
        Image.open(source).resize((64, 64), Image.Resampling.BICUBIC).save(path, quality=90)
    for path in parts[7]:
        ImageEnhance.Brightness(Image.open(path)).enhance(0.2).save(path, quality=95)
    for path in parts[8]:
        Image.open(path).resize((3, 3), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BICUBIC).save(path)
    for path in parts[9]:
        Image.new("RGB", (32, 32), (90, 120, 60)).save(path)
    for path in parts[10]:
        Image.open(path).crop((0, 0, 32, 8)).save(path)
    found = og.audit(str(pool))
    alike = names[3] | names[4], names[5] | names[6]
    every = set().union(*names)
    listed = {one.check: {str(found.ids[row]) for row in one.rows} for one in found.findings}
    print("\n| planted into 3,000 pictures | planted | found | others |\n|---|---|---|---|")
    for fault, planted, check in (
        ("truncated files (1 %)", names[0], "unreadable"),
        ("copies, both of each pair", names[1] | names[2], "exact duplicates"),
        ("saved again at quality 95, 60, 30, both of each pair", alike[0], "near duplicates"),
        ("enlarged to 64 x 64, both of each pair", alike[1], "near duplicates"),
        ("brightness of a fifth", names[7], "dark"),
        ("3 x 3 pixels enlarged", names[8], "blurred"),
        ("one colour", names[9], "little information"),
        ("a quarter of the height", names[10], "narrow"),
    ):
        line(fault, planted, listed[check], every)
    told = ", ".join(f"{one.n_items} {one.check}" for one in before.findings) or "nothing"
    print(f"\nBefore: {told}.")


def features():
    """Faults in the features of MobileNetV2."""
    archive = np.load(SHARED / "features" / "cifar10__mnv2.npz")
    x, y, labels = archive["X_train"].astype(np.float32), archive["X_test"].astype(np.float32), archive["y_train"]
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(x))
    bad = x.copy()
    bad[rows[:100], 5] = np.nan
    near = bad[rows[200:300]]
    noise = 0.2 * np.linalg.norm(near, axis=1, keepdims=True) / np.sqrt(x.shape[1]) * rng.standard_normal(near.shape)
    bad[rows[100:200]] = near + noise
    bad[rows[300:400]] = bad[rows[400:500]]
    other = y.copy()
    other[:50] = x[rows[1000:1050]]
    found = og.audit(bad, against=other)
    print(
        "\n| planted into 10,000 rows of MobileNetV2, and a second pool | planted | found | others |\n|---|---|---|---|"
    )
    line("NaN", {str(row) for row in rows[:100]}, shown(found, "missing values"))
    both = {str(row) for row in rows[100:300]}
    line("near rows (noise of a fifth), both", both, {str(row) for row in found.find("near duplicates").rows})
    both = {str(row) for row in rows[300:500]}
    line("equal rows, both", both, {str(row) for row in found.find("exact duplicates").rows})
    line("rows of the pool in the second pool", {str(row) for row in range(50)}, shown(found, "leakage"))
    print("\n| second pool against the first | p | classifier | MMD^2 | Frechet | halves |\n|---|---|---|---|---|---|")
    blurred = y * np.float32(0.9) + np.float32(0.1) * y.mean(axis=1, keepdims=True)
    few = labels[rows] % 5 == 0
    for name, second in (
        ("test rows", y),
        ("test rows, a tenth of every row's mean mixed in", blurred),
        ("train rows of two classes of ten", x[rows[few][:2000]]),
        ("test rows, half from two classes", np.concatenate([y[:1000], x[rows[few][:1000]]])),
    ):
        told = og.audit(x, against=second, near=0.9999).metrics["against"]["features"]["shift"]
        one, half = told["pool_against_other"], told["pool_against_itself"]
        print(
            f"| {name} | {told['p']:.2g} | {one['c2st_accuracy']:.3f} | {one['mmd2']:.2g} | {one['frechet']:.1f} | "
            f"{half['frechet']:.1f} |"
        )
    few = rng.permutation(np.flatnonzero(labels == 3))[:100]
    uneven = np.concatenate([np.flatnonzero(labels != 3), few])
    kept = og.audit(x[uneven], near=0.9999).metrics["features"]["features"]["clusters"]
    print(f"\nA class of ten cut to a tenth: {kept['n_clusters']} clusters, {kept['counts']}.")


def splits(n_splits=100):
    """Alarms in random halves of a pool: all of them are false, or faults that the pool has."""
    rows = np.load(SHARED / "features" / "cifar10__mnv1_0.5.npz")["X_train"].astype(np.float32)
    rng = np.random.default_rng(0)
    alarms = Counter()
    for seed in range(n_splits):
        chosen = rng.permutation(len(rows))[:1000]
        found = og.audit(rows[chosen[:500]], against=rows[chosen[500:]], permutations=199, seed=seed)
        alarms.update(one.check for one in found.findings if one.severity != "note")
    told = ", ".join(f"{count} {check}" for check, count in alarms.items()) or "none"
    print(f"\nAlarms in {n_splits} splits of 500 + 500 rows: {told}.")


def main():
    if not SHARED.is_dir():
        raise SystemExit(f"real data is not there: {SHARED}")
    with tempfile.TemporaryDirectory() as folder:
        pictures(Path(folder))
    features()
    splits()


if __name__ == "__main__":
    main()
