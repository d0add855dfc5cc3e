"""The report of a run: what was found, picked, learnt and spent; report.html, report.md and report.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from ..auditing.report import figure_tables, how_bad
from ..auditing.result import FILES
from ..store.files import human_bytes, json_bytes, write_atomic
from ..strategies.run_files import SELECTED
from .figures import curve_svg, sensitivity_svg
from .page import Section, Table, as_html, as_markdown
from .result import PipelineRun
from .steps.base import Context
from .steps.select import FOLDER as SELECTION

REPORTS = ("report.html", "report.md", "report.json")
_PICKS = 200
_PLAIN = (str, int, float)


def write_report(ctx: Context, run: PipelineRun) -> None:
    """Writes all three, each whole or not at all. Raises StoreError."""
    title = ctx.config["pipeline"]["title"] or ctx.config.path.stem
    sections = [
        _state(run),
        *_audits(ctx),
        *_pretrained(ctx),
        *_picks(ctx),
        *_labels(ctx),
        *_adapted(ctx),
        *_evaluated(ctx),
    ]
    sections += [*_sensitivity(ctx), _ledger(run)]
    document = {
        "title": title,
        **run.as_dict(),
        "summaries": {name: record.summary for name, record in ctx.records.items()},
    }
    write_atomic(ctx.folder / REPORTS[0], [as_html(title, sections).encode()])
    write_atomic(ctx.folder / REPORTS[1], [as_markdown(title, sections).encode()])
    write_atomic(ctx.folder / REPORTS[2], [json_bytes(document)])


def _state(run: PipelineRun) -> Section:
    steps = [[one.name, one.what, one.state, one.why] for one in run.steps]
    gates = [[gate.name, gate.step, gate.word, gate.reason] for gate in run.gates]
    tables = [Table("Steps", ["step", "what", "state", "why"], steps)]
    if gates:
        tables.append(Table("Gates", ["gate", "after", "verdict", "why"], gates))
    return Section("Where the run is", [f"{run.state.capitalize()}: {run.message}"], tables)


def _audits(ctx: Context) -> list[Section]:
    sections = []
    for name, title in (("audit", "The pictures"), ("audit_features", "The features")):
        if name not in ctx.records:
            continue
        told = json.loads((ctx.folder / name / FILES[2]).read_text(encoding="utf-8"))
        n_out = sum(told["leave_out"].values())
        lines = [f"{told['n_items']:,} items; {n_out:,} of them to be left out of a selection."]
        lines += [] if told["findings"] else ["Nothing was found."]
        header = ["how grave", "what", "about", "finding", "how bad", "items", "what to do"]
        rows = [
            [one["severity"], one["check"], one["about"], one["what"],
             how_bad(one["value"], one["threshold"], one["measure"]), one["n_items"], one["advice"]]
            for one in told["findings"]
        ]  # fmt: skip
        tables = [Table(f"Findings; ids in {name}/{FILES[0]}", header, rows)] if rows else []
        tables += [Table(*figures) for figures in figure_tables(told["metrics"])]
        sections.append(Section(title, lines, tables))
    return sections


def _pretrained(ctx: Context) -> list[Section]:
    if "pretrain" not in ctx.records:
        return []
    told = ctx.records["pretrain"].summary
    last = ", ".join(f"{name} {_value(value)}" for name, value in told["last"].items())
    line = f"Method {told['method']} on {told['n_pictures']:,} pictures, {told['epochs']:,} epochs; the last: {last}."
    return [Section("The pretrained backbone", [line, *(f"Alarm: {text}" for text in told["alarms"])])]


def _picks(ctx: Context) -> list[Section]:
    if "select" not in ctx.records:
        return []
    told = ctx.records["select"].summary
    lines = [
        f"{told['n_picked']:,} picks by strategy {told['strategy']} out of {told['n_candidates']:,} items"
        + (f", beside {told['n_earlier']:,} labels that were there" if told["n_earlier"] else "")
        + (f"; left out for what the audit found: {told['n_left_out']:,}." if told["n_left_out"] else ".")
    ]
    lines += [f"Warning: {text}" for text in told["warnings"]]
    path = ctx.folder / SELECTION / SELECTED[0]
    rows, shown = [], []
    for pick in pq.read_table(path).slice(0, _PICKS).to_pylist() if path.exists() else []:
        answer = ctx.book.answers.get(pick["item_id"], "")
        rows.append([pick["rank"], pick["item_id"], f"{pick['weight']:.4g}", pick["reason"], answer])
        shown.append((pick.get("source") or "", f"{pick['rank']}: {answer}" if answer else str(pick["rank"])))
    more = f" (the first {_PICKS})" if told["n_picked"] > _PICKS else ""
    tables = [Table(f"Picks{more}", ["rank", "item", "weight", "why", "label"], rows)] if rows else []
    tables += _certificate(told["certificate"])
    return [Section("What to label", lines, tables, pictures=tuple(shown) if ctx.has_pictures else ())]


def _certificate(told: Mapping[str, Any]) -> list[Table]:
    """Evidence of the computation: single values, and per backbone what there is."""
    plain = [[name, _value(value)] for name, value in told.items() if isinstance(value, _PLAIN)]
    by_backbone = [
        [
            name,
            ", ".join(f"{key} {_value(value)}" for key, value in one.items() if isinstance(value, (str, int, float))),
        ]
        for name, one in told.get("backbones", {}).items()
        if isinstance(one, Mapping)
    ]
    return [Table("Certificate", ["of", "value"], [*plain, *by_backbone])] if plain or by_backbone else []


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def _labels(ctx: Context) -> list[Section]:
    if "labels" not in ctx.records:
        return []
    told = ctx.records["labels"].summary
    line = (
        f"{told['n_answered']:,} of {told['n_picks']:,} picks answered; {told['n_labels']:,} labels in all, "
        f"{told['n_unknown']:,} times nobody could tell."
    )
    rows = [[name, count] for name, count in told["classes"].items()]
    return [Section("The labels", [line], [Table("Labels by class", ["class", "labels"], rows)])]


def _adapted(ctx: Context) -> list[Section]:
    if "adapt" not in ctx.records:
        return []
    told = ctx.records["adapt"].summary
    judged = told["judged"]
    lines = [f"Method {told['method']} from {told['n_labels']:,} labels, weights {told['weights']}.", *told["notes"]]
    tables = []
    if judged["accuracy"]:
        lines.append(
            f"Labels held out in turn: {interval(judged['accuracy'])} named right, {judged['majority']:.3f} by naming "
            f"the largest class, a gain of {interval(judged['gain'], signed=True)}. Picks are not drawn like the pool: "
            "this says whether something was learnt, not how accurate the result is on the pool."
        )
        rows = [[name, f"{value:.3f}"] for name, value in judged["by_backbone"].items()]
        tables.append(Table("Held out in turn, by backbone", ["backbone", "accuracy"], rows))
    return [Section("From labels to heads", lines, tables)]


def _evaluated(ctx: Context) -> list[Section]:
    if "evaluate" not in ctx.records:
        return []
    told = ctx.records["evaluate"].summary
    lines, tables = [f"Measured on {told['how']}, intervals of {100 * told['level']:g} %."], []
    if told["accuracy"]:
        lines.append(
            f"Accuracy {interval(told['accuracy'])} on {told['n']:,} items; naming the largest class "
            f"{told['majority']:.3f}; gain {interval(told['gain'], signed=True)}."
        )
    if "by_class" in told:
        rows = [[name, f"{one['n']:,}", interval(one)] for name, one in told["by_class"].items()]
        tables.append(Table("Share named right, by class", ["class", "items", "named right"], rows))
        rows = [[name, f"{value:.3f}"] for name, value in told["by_backbone"].items()]
        tables.append(Table("By backbone", ["backbone", "accuracy"], rows))
    lines += [told["without_random"]] if "without_random" in told else []
    header = ["labels", "accuracy of the picks", "of random picks", "difference"]
    rows = [
        [f"{point['n']:,}", *(interval(point[name], signed=name == "difference") if name in point else "-"
                              for name in ("ours", "random", "difference"))]
        for point in told["curve"]
    ]  # fmt: skip
    if rows:
        tables.append(Table(f"Accuracy against the number of labels, heads on {told['curve_of']}", header, rows))
    figures = (curve_svg(told["curve"]),) if len(told["curve"]) > 1 else ()
    return [Section("How good it is", lines, tables, figures=figures)]


def _sensitivity(ctx: Context) -> list[Section]:
    if "sensitivity" not in ctx.records:
        return []
    told = ctx.records["sensitivity"].summary
    lines = [
        f"{told['budget']:,} labels chosen by {told['strategy']} anew from parts of the pool, and from the pool with a "
        f"share of its items corrupted (noise of {told['noise']:g} standard deviations on every feature; labels and "
        f"test items clean); {told['repeats']} seeds, {told['n_test']:,} test items."
    ]
    header = ["pool", "level", "items", "accuracy", "less the whole clean pool"]
    rows = [
        [one["kind"], f"{one['level']:.0%}", f"{one['n_pool']:,}",
         interval(one["accuracy"]) if "accuracy" in one else one["note"],
         interval(one["difference"], signed=True) if "difference" in one else "-"]
        for one in told["table"]
    ]  # fmt: skip
    tables = [Table("Sensitivity", header, rows)]
    return [Section("Smaller and worse pools", lines, tables, figures=(sensitivity_svg(told["table"]),))]


def _ledger(run: PipelineRun) -> Section:
    told = run.ledger
    lines = [f"{told['labels']:,} labels of {told['answers']:,} answers."]
    spent: Mapping[str, Any] = told.get("money", {})
    if spent:
        parts = [f"{name} {value:,.2f}" for name, value in spent.items() if name not in ("currency", "label_hours")]
        hours = f"{spent['label_hours']:.2f} hours of labelling. " if "label_hours" in spent else ""
        lines.append(f"{hours}In {spent['currency']}: {', '.join(parts)}." if parts else hours)
    for event in told["forced"]:
        lines.append(f"Passed by force at {event['at']}: gate {event['gate']} ({event['reason']}).")
    return Section("The ledger, over all runs", lines, [ledger_table(told)])


def ledger_table(told: Mapping[str, Any]) -> Table:
    """Rows per step and their sum."""
    header = ["step", "runs", "wall s", "CPU s", "GPU s", "stored", "shipped"]
    rows = [
        [name, one["runs"], f"{one['wall_s']:.1f}", f"{one['cpu_s']:.1f}", f"{one['gpu_s']:.1f}",
         human_bytes(one["stored"]), human_bytes(one["shipped"])]
        for name, one in [*told["steps"].items(), ("all", told["total"])]
    ]  # fmt: skip
    return Table("Cost (broken-off runs included)", header, rows)


def interval(one: Mapping[str, float], *, signed: bool = False) -> str:
    """ "0.412 [0.405, 0.419]"; "0.412" where repetitions cannot differ (all labels, all the pool): that is no
    certainty, and there is no interval to show."""
    digits = "+.3f" if signed else ".3f"
    if one["low"] == one["mean"] == one["high"]:
        return f"{one['mean']:{digits}}"
    return f"{one['mean']:{digits}} [{one['low']:{digits}}, {one['high']:{digits}}]"
