"""Command groups whose verbs are imported when they are called, so that `--help` stays fast."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose verb `x` is the function `x` of a module of oneglance.cli.

    modules  verb -> name of its module, in the order of `--help`
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            close = difflib.get_close_matches(cmd_name, self.modules, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"The verbs are {', '.join(self.modules)}."
            ctx.fail(f"no such verb: {cmd_name!r}. {hint}")
        name = self.modules[cmd_name]
        command = getattr(importlib.import_module(f".{name}", package=__package__), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"oneglance.cli.{name}.{cmd_name} is not a click command")
        return command
