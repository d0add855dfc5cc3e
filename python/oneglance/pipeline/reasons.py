"""What a step's result depends on, and why it has to run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .record import Record, damaged
from .schema import KEYS
from .steps.base import Context, Step

NEVER_RUN, BROKEN_OFF = "never run", "an earlier run of it was broken off"
_LONG = 24


def parts_of(ctx: Context, step: Step) -> dict[str, Any]:
    """By name: version of the code, seed, settings that matter, results of the steps it reads, hashes of contents."""
    from .. import __version__

    parts: dict[str, Any] = {"code": f"{__version__}/{step.version}"}
    if step.seeded:
        parts["seed"] = ctx.config.seed
    for section in step.settings:
        for name, key in KEYS[section].items():
            if not key.free:
                parts[f"{section}.{name}"] = ctx.config[section][name]
    for need in step.needs:
        parts[f"result of {need}"] = ctx.records[need].digest
    return {name: _plain(value) for name, value in {**parts, **step.parts(ctx)}.items()}


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def why_run(
    ctx: Context, record: Record | None, begun: Mapping[str, Any] | None, parts: Mapping[str, Any], verify: bool
) -> str:
    """ "" where the step's result can be kept."""
    if record is None:
        if begun is None:
            return NEVER_RUN
        changed = differences(ctx, begun, parts)
        return BROKEN_OFF + (f", and {changed}" if changed else "")
    changed = differences(ctx, record.parts, parts)
    return changed or damaged(ctx.folder, record, verify=verify)


def differences(ctx: Context, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which parts differ, in words: "select.budget 20 -> 30; pool changed (a.png)"."""
    told = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name == "code":
            told.append(f"another version of oneglance ({old} -> {new})")
        elif name.startswith("result of "):
            told.append(f"{name.removeprefix('result of ')} has another result")
        elif _short(old) and _short(new):
            told.append(f"{name} {old} -> {new}")
        else:
            told.append(f"{name} changed" + _files(ctx, name))
    return "; ".join(told)


def _short(value: Any) -> bool:
    return value is None or (not isinstance(value, (list, dict)) and len(str(value)) <= _LONG)


def _files(ctx: Context, name: str) -> str:
    if name not in ("pool", "test set") or not ctx.hashes.changed:
        return ""
    names = [os.path.basename(path) for path in ctx.hashes.changed]
    return f" ({', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''})"
