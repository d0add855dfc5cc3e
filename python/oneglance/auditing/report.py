"""An audit in words: a section in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def report_lines(told: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown of Audit.as_dict()."""
    lines = [f"## Audit of {told['where']}", ""]
    pools = f"{told['n_items']:,} items"
    if told["n_against"]:
        pools += f", against {told['n_against']:,} items of a second pool"
    lines += [f"{pools}. {_verdict(told)}", ""]
    for one in told["findings"]:
        figures = how_bad(one["value"], one["threshold"], one["measure"])
        listed = f" {one['n_items']:,} listed in findings.parquet." if one["n_items"] else ""
        lines.append(f"- **{one['severity']}: {one['check']}** ({one['about']}). {one['what']} ({figures}.){listed}")
        lines.append(f"  *{one['advice']}*")
    if told["findings"]:
        lines.append("")
    for title, header, rows in figure_tables(told["metrics"]):
        lines += [f"### {title}", "", *_table(header, rows), ""]
    if "caution" in told["metrics"]:
        lines += [told["metrics"]["caution"], ""]
    return lines[:-1]


def _verdict(told: Mapping[str, Any]) -> str:
    findings = told["findings"]
    if not findings:
        return "Nothing was found."
    worst = {name: sum(one["severity"] == name for one in findings) for name in ("error", "warning", "note")}
    counts = ", ".join(f"{n} {name}{'s' * (n != 1)}" for name, n in worst.items() if n)
    out = sum(told["leave_out"].values())
    left = f" {out:,} {'item' if out == 1 else 'items'} should be left out of a selection." if out else ""
    return f"{counts}.{left}"


def figure_tables(metrics: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of the figures that can be compared: backbones, shift."""
    features = {name: one for name, one in metrics.get("features", {}).items() if "spectrum" in one}
    if features:
        header = ["backbone", "features", "RankMe", "alpha-ReQ", "participation", "Vendi", "spread", "clusters",
                  "even clusters", "largest / smallest", "repeats", "near"]  # fmt: skip
        yield "Backbones on this pool", header, [_features_row(name, one) for name, one in features.items()]
    judged = {name: one["suitability"] for name, one in features.items() if isinstance(one.get("suitability"), Mapping)}
    if judged:
        header = ["backbone", "labels", "LogME", "purity of neighbours", "by chance", "held-out accuracy [95 %]"]
        yield "Backbones for these labels", header, [_suitability_row(name, one) for name, one in judged.items()]
    shifts = {name: one["shift"] for name, one in metrics.get("against", {}).items() if _tested(one)}
    if shifts:
        header = ["backbone", "pools", "rows", "MMD^2", "p", "classifier [95 %]", "p", "Frechet"]
        rows = []
        for name, one in shifts.items():
            sizes = {"pool_against_other": f"{one['n_pool']:,} + {one['n_against']:,}",
                     "pool_against_itself": f"{one['n_half']:,} + {one['n_half']:,}"}  # fmt: skip
            rows += [_shift_row(name, key.replace("_", " "), size, one[key]) for key, size in sizes.items()]
        yield "Shift (the last line of each is what chance gives; Frechet at equal sizes)", header, rows


def _tested(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("shift"), Mapping)


def _features_row(name: str, one: Mapping[str, Any]) -> list[str]:
    wide, kinds = one["spectrum"], one["clusters"]
    values = [wide[key] for key in ("rank_me", "alpha_req", "participation", "vendi", "spread")]
    values += [kinds[key] for key in ("n_clusters", "effective_clusters", "ratio")]
    counts = [one["exact_duplicates"], one["near_duplicates"]["n_extra"]]
    return [name, f"{one['n_dims']:,}", *map(number, values), *(f"{count:,}" for count in counts)]


def _suitability_row(name: str, one: Mapping[str, Any]) -> list[str]:
    probe = "-"
    if one["probe"] is not None:
        low, high = one["probe_interval"]
        probe = f"{one['probe']:.3f} [{low:.3f}, {high:.3f}]"
    return [name, f"{one['n_rows']:,}", *(number(one[key]) for key in ("log_me", "purity", "chance")), probe]


def _shift_row(name: str, pools: str, size: str, one: Mapping[str, Any]) -> list[str]:
    low, high = one["c2st_interval"]
    told = f"{one['c2st_accuracy']:.3f} [{low:.3f}, {high:.3f}]"
    return [name, pools, size, number(one["mmd2"]), number(one["mmd_p"]), told, number(one["c2st_p"]),
            number(one["frechet"])]  # fmt: skip


def how_bad(value: float | None, threshold: float | None, measure: str) -> str:
    """ "0.127 against 0.258: sharpness"; a threshold of 0 means that one is too many."""
    against = f" against {number(threshold)}" if threshold else ""
    return f"{number(value)}{against}: {measure}"


def number(value: float | None) -> str:
    """Three digits; - for none."""
    return "-" if value is None else f"{value:.3g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows),
    ]
