"""Progress: what it says, and how often."""

from __future__ import annotations

import io
from typing import Any

import pytest

from oneglance.cli.progress import shown
from oneglance.errors import InvalidInput
from oneglance.features import progress as home
from oneglance.features.progress import Meter, PlainProgress, Progress, as_callback, clock


def test_words() -> None:
    assert [clock(s) for s in (0.4, 59, 61, 3661)] == ["0 s", "59 s", "1:01 min", "1:01:01 h"]
    assert str(Progress("embed", 5, 10, 1, 2.0, 2.5)) == "embed: 5/10 items, 2.5 items/s, ETA 2 s, 1 bad"
    assert "ETA unknown" in str(Progress("embed", 0, 10, 0, 0.0, 0.0))


def test_one_plain_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(home.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    meter = Meter("embed", 40, 100, PlainProgress(stream))  # 40 were there before
    for _ in range(30):
        now[0] += 1
        meter.advance(2, 3)
    assert stream.getvalue().splitlines() == [
        "embed: 60/100 items, 2.0 items/s, ETA 20 s, 3 bad",
        "embed: 80/100 items, 2.0 items/s, ETA 10 s, 3 bad",
        "embed: 100/100 items, 2.0 items/s, ETA 0 s, 3 bad",
    ]


@pytest.mark.parametrize(("style", "words"), [("rich", "7/7"), ("plain", "embed: 7/7 items"), ("none", "")])
def test_styles_of_the_command_line(style: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(style) as progress:
        callback: Any = as_callback(progress)
        if callback is not None:
            callback(Progress("embed", 7, 7, 0, 1.0, 7.0))
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert bool(err) == bool(words)


def test_progress_must_be_callable() -> None:
    with pytest.raises(InvalidInput, match="progress must be True, False or a callable, got 'yes'"):
        as_callback("yes")  # type: ignore[arg-type]
