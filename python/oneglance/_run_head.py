"""What makes two runs the same run, and how two of them differ."""

from __future__ import annotations

from typing import Any


def run_head(request: dict[str, Any]) -> dict[str, Any]:
    """Version, build and request. No times: same command, same bytes."""
    from . import __version__, _core

    build = {key: value for key, value in _core.build_info().items() if key != "threads"}
    return {"oneglance": __version__, "build": build, "request": request}


def differences(there: Any, head: dict[str, Any], file: str) -> list[str]:
    """Names of what differs between the content of `file` and a head that went through JSON."""
    if not isinstance(there, dict) or not isinstance(there.get("request"), dict):
        return [f"{file} cannot be read"]
    names = [key for key in ("oneglance", "build") if there.get(key) != head[key]]
    old, new = there["request"], head["request"]
    return [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)] + names
