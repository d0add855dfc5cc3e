"""Backbones with masks on: `--mask` of `oneglance embed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput

if TYPE_CHECKING:
    from ..features.backbones import Backbone


def masked(specs: list[str], masks: tuple[str, ...], source: Any) -> list[Backbone]:
    """The backbones, those named by a mask with it.

    specs   of the backbones
    masks   texts [NAME=]FILE: a backbone's name, and a mask file or the folder of one. The name may be left out where
            there is one backbone
    source  the pool, for masks without statistics of the batch norms
    Raises InvalidInput (no such name, two masks for one, another base), StoreError (the file).
    """
    from ..features.backbones import as_backbones
    from ..masks import load_mask

    if not specs:
        raise InvalidInput("--mask needs --backbone: the network that the mask was made for.")
    backbones = {backbone.name: backbone for backbone in as_backbones(specs)}
    done: set[str] = set()
    for text in masks:
        name, path = _parsed(text, list(backbones))
        if name in done:
            raise InvalidInput(f'--mask: two masks for the backbone "{name}". Name the backbone twice: {_TWICE}.')
        done.add(name)
        mask = load_mask(path, backbones[name])
        backbones[name] = mask.apply(backbones[name], source)
    return list(backbones.values())


_TWICE = '-b SPEC -b "SPEC?name=other" --mask other=FILE'


def _parsed(text: str, names: list[str]) -> tuple[str, str]:
    head, equals, tail = text.partition("=")
    if not (tail if equals and head in names else text):
        raise InvalidInput(f"--mask {text!r} names no file: [NAME=]FILE is needed. Is a variable of the shell empty?")
    if equals and head in names:
        return head, tail
    if len(names) == 1:
        return names[0], text
    raise InvalidInput(
        f"--mask must say which backbone, NAME=FILE, where there are several; got {text!r}, and the names "
        f"{', '.join(names)}."
    )
