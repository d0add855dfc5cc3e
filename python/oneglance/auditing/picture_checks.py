"""Findings about pictures, from the table of one pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .._types import IntArray
from .findings import Finding, counted, finding
from .picture_pass import PictureTable
from .picture_repeats import FLAT, repeated_pictures

DARK, LIGHT, BLURRED, NARROW = 0.32, 0.05, 0.29, 0.35
_ODD = 0.2  # a mode, or grey among colours, of at most this share of the pool is odd
_ODD_SIZE = 0.1  # of the median side: nearer sizes are not odd, where all others are of one size too
_GREY = 1.0  # mean difference of the channels, of 255
_SMOOTHER = 3.0  # standard deviations below the pool's median


def check_pictures(table: PictureTable, hamming: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings, and the pool's figures. hamming: most different bits of two perceptual hashes that count as one."""
    good = table.good
    findings = unreadable(table)
    there = np.flatnonzero(good)
    metrics: dict[str, Any] = {"n_pictures": len(table), "n_unreadable": int(len(table) - there.size)}
    if not there.size:
        return findings, metrics
    findings += _exposure(table, there) + _sharpness(table, there) + _shape(table, there) + _modes(table, there)
    findings += repeated_pictures(table, hamming, metrics)
    metrics["sizes"] = _most_common(
        f"{width} x {height}" for width, height in zip(table.width[there], table.height[there], strict=True)
    )
    metrics["modes"] = _most_common(mode for mode in table.modes[there] if mode)
    metrics["scores"] = {
        name: {f"{q}%": float(np.nanpercentile(values, q)) for q in (1, 50, 99)}
        for name, values in _scores(table, there).items()
        if not np.isnan(values).all()
    }
    return findings, metrics


def _most_common(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common(5)}


def _scores(table: PictureTable, there: IntArray) -> dict[str, Any]:
    return {
        "dark": table.high[there],
        "light": 1 - table.low[there],
        "information": 0.1 * table.entropy[there],
        "sharpness": _sharp(table)[there],
        "aspect": _aspect(table)[there],
    }


def _sharp(table: PictureTable) -> Any:
    return 1 - np.exp(-0.01 * table.edges)


def _aspect(table: PictureTable) -> Any:
    return np.minimum(table.width, table.height) / np.maximum(np.maximum(table.width, table.height), 1)


def unreadable(table: PictureTable, *, outside: bool = False) -> list[Finding]:
    """The finding of pictures that cannot be used, if any; outside: the table is that of the second pool."""
    bad = np.flatnonzero(~table.good)
    if not bad.size:
        return []
    kinds = Counter(str(reason).partition(":")[0] for reason in table.reasons[bad])
    told = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(4))
    return [
        finding(
            "unreadable",
            "error",
            "pictures",
            f"{counted(bad.size, 'picture')}{' of the second pool' * outside} cannot be decoded: {told}.",
            value=bad.size / len(table),
            threshold=0,
            measure="share of pictures",
            advice="Fetch these files again: nothing is compared with them."
            if outside
            else "Fetch these files again, or leave them out (--audit does).",
            rows=bad,
            details=[str(reason) for reason in table.reasons[bad]],
            drop=not outside,
            outside=outside,
        )
    ]


def _low(
    check: str, what: str, values: Any, there: IntArray, limit: float, measure: str, advice: str, severity: str
) -> list[Finding]:
    rows = there[values[there] < limit]
    if not rows.size:
        return []
    return [
        finding(
            check,
            severity,
            "pictures",
            f"{counted(rows.size, 'picture')} {what}.",
            value=float(values[rows].min()),
            threshold=limit,
            measure=measure,
            advice=advice,
            rows=rows,
            values=values[rows],
        )
    ]


def _exposure(table: PictureTable, there: IntArray) -> list[Finding]:
    look = "Look at them: labellers may not be able to tell what is there."
    flat = 0.1 * table.entropy
    return [
        *_low(
            "dark",
            "too dark",
            table.high,
            there,
            DARK,
            "brightness that 99 % of the pixels stay below",
            look,
            "warning",
        ),
        *_low(
            "light",
            "too light",
            1 - table.low,
            there,
            LIGHT,
            "1 - brightness that 95 % of the pixels exceed",
            look,
            "warning",
        ),
        *_low(
            "little information",
            "of hardly any brightness levels",
            flat,
            there,
            FLAT,
            "a tenth of the entropy in bits",
            "Blank or synthetic? Leave them out if so; near duplicates among them are not looked for.",
            "warning",
        ),
    ]


def _sharpness(table: PictureTable, there: IntArray) -> list[Finding]:
    sharp = _sharp(table)
    known = there[~np.isnan(sharp[there])]
    if not known.size:
        return []
    middle = float(np.median(sharp[known]))
    reach = _SMOOTHER * 1.4826 * float(np.median(np.abs(sharp[known] - middle)))
    found = _low(
        "blurred",
        "much smoother than the others",
        sharp,
        known,
        min(BLURRED, middle - reach),
        "1 - exp(-0.01 standard deviation of edges)",
        "Look at them; out of focus, or plain scenes?",
        "warning",
    )
    if middle < BLURRED:
        found.append(
            finding(
                "smooth pool",
                "note",
                "pictures",
                "Half of all pictures show few edges: a smooth or blurred pool.",
                value=middle,
                threshold=BLURRED,
                measure="median of 1 - exp(-0.01 standard deviation of edges)",
                advice="If these are no smooth surfaces, look at the camera's focus.",
            )
        )
    return found


def _shape(table: PictureTable, there: IntArray) -> list[Finding]:
    found = _low(
        "narrow",
        "much longer than wide, or wider than long",
        _aspect(table),
        there,
        NARROW,
        "shorter over longer side",
        "Resizing to a square distorts them, cropping loses most: cut them into parts.",
        "note",
    )
    side = np.sqrt(table.width * table.height)
    low, high = np.percentile(side[there], [25, 75])
    reach = max(3 * (high - low), _ODD_SIZE * np.median(side[there]))
    away = np.maximum(low - side, side - high)
    rows = there[away[there] > reach]
    if rows.size:
        found.append(
            finding(
                "odd size",
                "note",
                "pictures",
                f"{counted(rows.size, 'picture')} far larger or smaller than the rest.",
                value=float(away[rows].max()),
                threshold=float(reach),
                measure="distance of sqrt(width height) from the pool's quartiles, in pixels",
                advice="Another camera, thumbnails, or crops? Embed them at one size, or apart.",
                rows=rows,
                values=side[rows],
            )
        )
    return found


def _modes(table: PictureTable, there: IntArray) -> list[Finding]:
    odd: list[tuple[str, str, IntArray]] = []
    for mode, count in Counter(table.modes[there]).items():
        if mode and count <= _ODD * there.size:
            odd.append(("odd mode", f"kept as {mode}, unlike the rest", there[table.modes[there] == mode]))
    grey = there[table.colour[there] < _GREY]
    if 0 < grey.size <= _ODD * there.size:
        odd.append(("grey", "without colour among pictures in colour", grey))
    return [
        finding(
            check,
            "note",
            "pictures",
            f"{counted(rows.size, 'picture')} {what}.",
            value=rows.size / there.size,
            threshold=_ODD,
            measure="share of pictures (odd up to the threshold)",
            advice="Backbones see them converted to RGB. Is it another source?",
            rows=rows,
            details=[str(mode) for mode in table.modes[rows]],
        )
        for check, what, rows in odd
    ]
