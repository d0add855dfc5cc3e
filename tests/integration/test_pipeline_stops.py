"""A pipeline that is broken off, and its command."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import run as oneglance
from pipeline_pool import TOML, answer, events, to_the_end, why, write

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")

SLOW = """
import sys, time
import oneglance.pipeline.steps.evaluate as home
from oneglance.cli.main import main
plain = home._repetition
def slow(trial, repeat):
    if repeat:
        time.sleep(30)
    return plain(trial, repeat)
home._repetition = slow
sys.argv = ["oneglance", "run", sys.argv[1]]
main()
"""


def started(path, code=SLOW):
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "the run got nowhere"
        time.sleep(0.02)


def undisturbed(place):
    """The summary of evaluate of a run that nothing broke off, elsewhere."""
    other = place.parent / "other"
    other.mkdir()
    for name in ("pool.npz", "test.npz"):
        (other / name).write_bytes((place.parent / name).read_bytes())
    path = write(other, place.read_text(encoding="utf-8"))
    found = to_the_end(path)
    return json.loads((found.folder / "steps" / "evaluate.json").read_text(encoding="utf-8"))["summary"]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_or_stopped_goes_on(place, stop):
    og.run_pipeline(place)
    answer(place)
    folder = place.parent / "pipeline.run"
    with started(place) as process:
        wait_for(lambda: list(folder.glob("evaluate/*/repeat-0.json")), process)
        with pytest.raises(og.StoreError, match=f"being written by another run .process {process.pid}"):
            og.run_pipeline(place)
        process.send_signal(stop)
        message = process.stderr.read().decode()
        code = process.wait()
    killed = stop == signal.SIGKILL
    assert code == (-signal.SIGKILL if killed else 4)
    assert killed or "interrupted; run the same command again to go on." in message
    (cell,) = folder.glob("evaluate/*/repeat-0.json")
    kept = os.stat(cell).st_ino
    assert (folder / ".lock").exists() == killed, "a killed run leaves its lock behind, which holds nobody up"
    assert og.run_pipeline(place, dry_run=True).message == "next: evaluate"
    found = og.run_pipeline(place)
    assert (found.state, found.ran) == ("finished", ("evaluate",))
    assert os.stat(cell).st_ino == kept, "a finished part was done again"
    assert ("evaluate", "killed" if killed else "interrupted") in events(place)
    assert found.ledger["steps"]["evaluate"]["runs"] == 2
    summary = json.loads((folder / "steps" / "evaluate.json").read_text(encoding="utf-8"))["summary"]
    assert summary == undisturbed(place)


@pytest.mark.parametrize("name", ["record", "select", "report"])
def test_a_full_disk_leaves_a_state_to_go_on_from(place, monkeypatch, name):
    import errno

    from oneglance.store.files import explain_os_error

    home = importlib.import_module({"record": "oneglance.pipeline.record", "report": "oneglance.pipeline.report",
                                    "select": "oneglance.pipeline.steps.select"}[name])  # fmt: skip

    def full(path, parts):
        raise explain_os_error(OSError(errno.ENOSPC, "no space"), Path(path), 10)

    monkeypatch.setattr(home, "write_atomic", full)
    with pytest.raises(og.StoreError, match="disk full while writing"):
        og.run_pipeline(place)
    monkeypatch.undo()
    assert to_the_end(place).ledger["labels"] == 20


def test_a_full_disk_for_the_ledger_itself(place, monkeypatch):
    from oneglance.pipeline.ledger import Ledger

    def full(self, step, event, cost=None, **more):
        raise og.StoreError("disk full while writing ledger.jsonl")

    monkeypatch.setattr(Ledger, "add", full)
    with pytest.raises(og.StoreError, match="disk full"):
        og.run_pipeline(place)
    monkeypatch.undo()
    og.run_pipeline(place)
    assert events(place)[0] == ("embed", "killed"), "what was spent is booked by the next run"


def test_a_step_that_fails_is_told_and_done_again(place, monkeypatch):
    import oneglance.pipeline.steps.select as home

    monkeypatch.setattr(home, "write_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        og.run_pipeline(place)
    monkeypatch.undo()
    assert ("select", "failed") in events(place)
    found = og.run_pipeline(place)
    assert why(found, "select") == "an earlier run of it was broken off"


def test_somebody_elses_folder_is_left_alone(place):
    folder = place.parent / "pipeline.run"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(og.InvalidInput, match="was not made by `oneglance run`"):
        og.run_pipeline(place)
    assert [one.name for one in folder.iterdir()] == ["thesis.txt"]


# --- the command


def test_the_command(place, monkeypatch):
    monkeypatch.chdir(place.parent)
    out, _ = oneglance("run", "--dry-run")
    assert "next: embed" in out
    assert "150 items, 7.2 kB on disk" in out
    assert not (place.parent / "pipeline.run").exists(), "a dry run writes nothing"
    out, err = oneglance("run", code=5)
    assert "20 of 20 picks have no label yet" in out
    assert "embed: runs, never run" in err
    out, _ = oneglance("run", "--status")
    assert "waiting" in out
    assert re.search(r"^audit +left out", out, re.M)
    answer(place)
    out, _ = oneglance("run", "--json")
    told = json.loads(out)
    assert told["state"] == "finished"
    assert told["ledger"]["total"]["wall_s"] > 0
    write(place.parent, TOML + "[gates]\ninterval = 0.0\n")
    out, err = oneglance("run", code=6)
    assert "gate interval (evaluate): no-go" in out
    out, _ = oneglance("run", "--force", "interval")
    assert "gate interval (evaluate): forced" in out
    before = sorted((path, path.stat().st_mtime_ns) for path in place.parent.rglob("*"))
    oneglance("run", "--status")
    oneglance("run", "--dry-run")
    assert sorted((path, path.stat().st_mtime_ns) for path in place.parent.rglob("*")) == before


def test_the_report_alone(place):
    _, err = oneglance("report", place, code=2)
    assert "no step is done yet" in err
    found = to_the_end(place)
    html = found.folder / "report.html"
    html.unlink()
    write(place.parent, TOML + '[pipeline]\ntitle = "Steel & <b>"\n')
    out, _ = oneglance("report", place)
    assert str(html) in out
    assert "<h1>Steel &amp; &lt;b&gt;</h1>" in html.read_text(encoding="utf-8")
    assert og.run_pipeline(place).ran == ()


def test_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = oneglance("run", "--init")
    assert "pipeline.toml" in out
    _, err = oneglance("run", "--init", code=2)
    assert "is there already" in err
    _, err = oneglance("run", code=2)
    assert "photos" in err
    _, err = oneglance("run", "none.toml", code=2)
    assert "oneglance run none.toml --init" in err
    _, err = oneglance("run", "--init", "--status", code=2)
    assert "exclude each other" in err
