"""A pipeline.toml to begin with: every key, with its default and what it is for."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidInput
from ..store.files import write_atomic
from .config import toml_text
from .schema import KEYS, SECTIONS

_WIDTH = 44


def template() -> str:
    """The text: keys that are needed as they are, the others commented out with their defaults."""
    lines = [
        "# What to label, and what comes of it: oneglance run THIS_FILE",
        "# Lines that begin with # are left out; they show the defaults, or an example where there is no default.",
    ]
    for section, what in SECTIONS.items():
        lines += ["", f"[{section}]  # {what}"]
        for name, key in KEYS[section].items():
            value = key.default if key.default not in (None, (), {}) else key.example
            shown = f"{'' if key.needed else '# '}{name} = {toml_text(value)}"
            also = f" ({', '.join(key.choices)})" if key.choices and len(key.choices) < 8 else ""
            lines.append(f"{shown.ljust(_WIDTH)}  # {key.what}{also}")
    return "\n".join(lines) + "\n"


def write_template(path: Path) -> None:
    """Writes it. Raises InvalidInput where there is a file already, StoreError where it cannot write."""
    if path.exists():
        raise InvalidInput(f"{path} is there already. Give another name, or remove it.")
    write_atomic(path, [template().encode()])
