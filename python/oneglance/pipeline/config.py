"""pipeline.toml as settings: every key checked, every mistake named with its line."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..finetuning.recipes import check_names
from ..strategies.registry import parameters
from .schema import KEYS, KINDS, Key

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OFF = "off"
_SECTION = re.compile(r"\s*\[\s*([^\]]+?)\s*\]\s*(?:#.*)?$")
_ENTRY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")


@dataclass(frozen=True, eq=False)
class Config:
    """Settings with their defaults filled in.

    path      the file            base   its folder: relative paths start here
    folder    of the run          values section -> key -> value; lists as tuples, a switched-off gate as None
    sections  those that the file has
    """

    path: Path
    base: Path
    folder: Path
    values: Mapping[str, Mapping[str, Any]]
    sections: frozenset[str]

    def __getitem__(self, section: str) -> Mapping[str, Any]:
        return self.values[section]

    @property
    def seed(self) -> int:
        return int(self.values["pipeline"]["seed"])

    def path_of(self, text: str) -> Path:
        """A path of the file, absolute."""
        return Path(self.base, text)

    def source(self, section: str) -> Any:
        """source of the pool or the test set as og.embed takes it; None for none."""
        given = self.values[section]["source"]
        if given is None:
            return None
        return str(self.path_of(given)) if isinstance(given, str) else [str(self.path_of(one)) for one in given]


def read_config(path: Path) -> Config:
    """Raises InvalidInput naming file, line, key, what was needed and what came."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows write a mark in front
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}). Write one with `oneglance run {path} --init`."
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text.") from None
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not TOML: {error}.") from None
    where = _Lines(path, text)
    for section, entries in given.items():
        if section not in KEYS:
            raise InvalidInput(f"{where(section)}: there is no section [{section}]. {_nearest(section, KEYS)}")
        if not isinstance(entries, Mapping):
            raise InvalidInput(f"{where(section)}: {section} must be a section, [{section}].")
        for name in entries:
            if name not in KEYS[section]:
                near = _nearest(name, KEYS[section], section)
                raise InvalidInput(f"{where(section, name)}, [{section}]: there is no key {name!r}. {near}")
    values: dict[str, dict[str, Any]] = {}
    for section, keys in KEYS.items():
        values[section] = {}
        for name, key in keys.items():
            there = given.get(section, {})
            if name not in there:
                if key.needed:
                    raise InvalidInput(f"{path}: [{section}] needs the key {name}: {key.what}. {_example(name, key)}")
                values[section][name] = key.default
            else:
                place = f"{where(section, name)}, [{section}] {name}"
                values[section][name] = _checked(there[name], key, place, off_ok=section == "gates")
    _check_strategy(values["select"], where)
    _check_recipes(values["adapt"]["recipe"], where)
    base = path.resolve().parent
    out = values["pipeline"]["out"] or f"{path.stem}.run"
    return Config(path.resolve(), base, Path(os.path.abspath(base / out)), values, frozenset(given))


class _Lines:
    """ "FILE, line N" of a section or key: TOML readers do not keep it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[tuple[str, str], int] = {}
        section = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _SECTION.match(line):
                section, _, inside = header[1].strip("[] ").partition(".")
                self._lines.setdefault((section, inside), number)
            elif entry := _ENTRY.match(line):
                self._lines.setdefault((section, entry[1]), number)

    def __call__(self, section: str, name: str = "") -> str:
        line = self._lines.get((section, name)) or self._lines.get((section, "")) or self._lines.get(("", section))
        return f"{self._path}, line {line}" if line else str(self._path)


def _nearest(name: str, known: Mapping[str, Any], section: str = "") -> str:
    """What was probably meant, in this section or in another one."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    elsewhere = [other for other, keys in KEYS.items() if section and name in keys]
    if elsewhere:
        return f"[{elsewhere[0]}] has one of that name."
    return f"Known are {', '.join(known)}."


def _example(name: str, key: Key) -> str:
    return f"Example: {name} = {toml_text(key.example)}"


def toml_text(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_text(entry)}" for key, entry in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_text(entry) for entry in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked(value: Any, key: Key, place: str, *, off_ok: bool) -> Any:
    if off_ok and value == OFF:
        return None
    if not _fits(value, key.kind):
        need = KINDS[key.kind] + (f', or "{OFF}"' if off_ok else "")
        raise InvalidInput(f"{place} must be {need}, got {value!r}.")
    if key.choices and value not in key.choices:
        close = difflib.get_close_matches(str(value), key.choices, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"{place} must be one of {', '.join(key.choices)}, got {value!r}.{hint}")
    numbers = value if isinstance(value, list) else [value]
    if key.least is not None and any(number < key.least for number in numbers):
        raise InvalidInput(f"{place} must be at least {key.least:g}, got {value!r}.")
    if isinstance(value, list):
        if not value and key.kind in ("shares", "parts", "penalties", "numbers", "paths", "files"):
            raise InvalidInput(f"{place} is empty: {KINDS[key.kind]} is needed. Leave the key out for its default.")
        return tuple(value)
    return (value,) if key.kind == "texts" else value


def _fits(value: Any, kind: str) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or (isinstance(value, float) and value == value and abs(value) != float("inf"))
    if kind in ("text", "path", "file", "column"):
        return isinstance(value, str) and bool(value or kind == "text")
    if kind in ("texts", "paths", "files"):
        return bool(value) and (
            isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) and one for one in value))
        )
    if kind == "switch":
        return isinstance(value, bool)
    if kind == "whole":
        return whole
    if kind == "number":
        return number
    if kind == "share":
        return number and 0 <= value <= 1
    if kind == "part":
        return number and 0 < value <= 1
    if kind == "level":
        return number and 0.5 <= value < 1
    if kind == "penalty":
        return number and value > 0
    if kind == "budget":
        return (whole and value > 0) or (isinstance(value, str) and _is_budget(value))
    if kind == "table":
        return isinstance(value, dict)
    inside = {"shares": "share", "parts": "part", "penalties": "penalty", "numbers": "number", "counts": "whole"}[kind]
    return isinstance(value, list) and all(_fits(one, inside) for one in value)


def _is_budget(text: str) -> bool:
    number = re.fullmatch(r"\s*([0-9]+|[0-9]*\.?[0-9]+(?=\s*%))\s*(%?)\s*", text)
    return number is not None and 0 < float(number[1]) <= (100 if number[2] else float("inf"))


def _check_strategy(select: Mapping[str, Any], where: _Lines) -> None:
    if select["quotas"] and select["strata"] is None:
        raise InvalidInput(
            f"{where('select', 'quotas')}, [select]: quotas are of strata. Name their column with strata."
        )
    known = parameters(select["strategy"])
    for name in select["params"]:
        if name not in known:
            place = where("select", "params")
            takes = _nearest(name, known) if known else "It takes none."
            raise InvalidInput(f"{place}, [select.params]: strategy {select['strategy']!r} has no {name!r}. {takes}")


def _check_recipes(given: Any, where: _Lines) -> None:
    """Said before anybody labels, not when the labels are back."""
    try:
        check_names([given] if isinstance(given, str) else list(given))
    except InvalidInput as error:
        raise InvalidInput(f"{where('adapt', 'recipe')}, [adapt]: {error}") from None
