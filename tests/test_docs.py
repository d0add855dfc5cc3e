"""The documentation is true: its Python runs, its commands exist, its links lead somewhere."""

import re
from pathlib import Path

import click
import pytest

from oneglance.cli.main import VERBS, cli

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "bench" / "README.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"\boneglance +([a-z]+)\b(.*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

name_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def options_of(verb):
    command = cli.get_command(click.Context(cli), verb)
    commands = [command]
    if isinstance(command, click.Group):
        inside = click.Context(command)
        commands += [command.get_command(inside, name) for name in command.list_commands(inside)]
    named = (name for one in commands for option in one.params for name in (*option.opts, *option.secondary_opts))
    return {*named, "--help", "-h"}


def code(text):
    """Lines of fenced blocks that are not Python, and inline code; continued lines are joined."""
    for language, block in FENCE.findall(text):
        if language != "python":
            yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(FENCE.sub("", text))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__docs__"}
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found[1] == "python":
            first_line = text.count("\n", 0, found.start(2))
            exec(compile("\n" * first_line + found[2], str(page), "exec"), namespace)


@name_of
def test_commands_name_verbs_and_options_that_exist(page):
    for line in code(page.read_text(encoding="utf-8")):
        for verb, rest in COMMAND.findall(line):
            assert verb in VERBS, f"{page.name}: no verb in {line!r}"
            unknown = set(OPTION.findall(rest.partition("#")[0])) - options_of(verb)
            assert not unknown, f"{page.name}: `oneglance {verb}` has no {sorted(unknown)}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_options_named_alone_belong_to_some_verb(page):
    known = set().union(*(options_of(verb) for verb in VERBS)) | {"--version"}
    for span in SPAN.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if span.startswith("--"):
            unknown = set(OPTION.findall(span)) - known
            assert not unknown, f"{page.name}: no verb has {sorted(unknown)}"


def test_guide_names_every_option_of_embed_select_and_evaluate():
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    named = set(OPTION.findall(guide))
    for verb in ("adapt", "audit", "embed", "evaluate", "pretrain", "run", "select", "weights"):
        missing = {name for name in options_of(verb) if name.startswith("--")} - named - {"--help"}
        assert not missing, f"docs/guide.md says nothing about `oneglance {verb}` {sorted(missing)}"


def test_readme_has_the_two_commands_of_a_fresh_machine():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block for language, block in FENCE.findall(text) if language == "bash"]
    assert [block.splitlines()[0] for block in blocks] == ["# install", "# test"]
    assert "oneglance quickstart" in blocks[0]
    assert "python -m pytest" in blocks[1]


@name_of
def test_links_into_the_repository_exist(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_paths_in_the_map_of_the_repository_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Map of the repository")[2].partition("\n## ")[0]
    paths = [span for span in SPAN.findall(table) if "/" in span]
    assert len(paths) >= 10
    for path in paths:
        assert (ROOT / path).exists(), f"README.md's map names {path}"
