"""kill -9 at random moments: the resumed store has the same bytes, and at most one shard is done again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

# Slow on purpose, so that a kill hits a running embed; two backbones, one decoding worker that outlives its parent.
DRIVER = """
import sys, time, torch
import oneglance as og
from oneglance.features import Backbone, Preprocess

class Slow(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(width)
        self.conv = torch.nn.Conv2d(3, width, 3)
    def forward(self, x):
        time.sleep(0.02)
        return self.conv(x)

nets = [Backbone(Slow(w), Preprocess(size=16), name=f"net{w}") for w in (5, 9)]
og.embed(sys.argv[1], nets, sys.argv[2], shard_rows=5, batch_size=2, workers=1, max_bad_fraction=0.2)
"""
N_SHARDS, N_NETS = 12, 2


def start(pool: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(pool), str(out)], stderr=subprocess.PIPE)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def finished(out: Path) -> dict[str, int]:
    """Shards with a receipt -> inode; a shard that is written again gets another inode."""
    return {
        str(path.relative_to(out)): os.stat(path).st_ino
        for path in out.glob("features/*/*.npy")
        if path.with_suffix(".json").exists()
    }


@pytest.mark.slow  # seven processes that each load torch
def test_five_kills(tmp_path: Path, make_pictures: Any) -> None:
    pool = tmp_path / "pool"
    make_pictures(pool, 5 * N_SHARDS - 4)
    for name in ("a.jpg", "b.jpg"):
        (pool / name).write_text("no picture")
    whole, out = tmp_path / "whole", tmp_path / "s"
    with start(pool, whole) as undisturbed:
        assert undisturbed.wait() == 0, undisturbed.stderr.read().decode()  # type: ignore[union-attr]
    moments = random.Random(7)
    kept: dict[str, int] = {}
    for _ in range(5):
        goal = len(kept) + moments.randint(0, 4)
        with start(pool, out) as run:
            deadline = time.monotonic() + 60
            while len(finished(out)) < goal or not (out / "unfinished.json").exists():
                assert run.poll() is None, "the run ended before it was killed"
                assert time.monotonic() < deadline, "the run got nowhere"
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.12))
            assert run.poll() is None, "the run ended before it was killed"
            run.send_signal(signal.SIGKILL)
        now = finished(out)
        assert kept.items() <= now.items(), "a finished shard was done again"
        begun = {path for path in out.glob("features/*/*.npy*") if not path.with_suffix(".json").exists()}
        assert len({path.name.partition(".")[0] for path in begun if path.suffix == ".npy"} - set(now)) <= 1
        kept = now
    assert 0 < len(kept) < N_SHARDS * N_NETS
    with start(pool, out) as last:
        assert last.wait() == 0, last.stderr.read().decode()  # type: ignore[union-attr]
    assert kept.items() <= finished(out).items()
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])  # Ctrl-C; a scheduler or container
def test_a_stop_exits_with_4_and_can_be_resumed(tmp_path: Path, make_pictures: Any, stop: signal.Signals) -> None:
    pool, out = tmp_path / "pool", tmp_path / "s"
    make_pictures(pool, 40)
    command = DRIVER.replace(
        "og.embed(sys.argv[1], nets, sys.argv[2], shard_rows=5, batch_size=2, workers=1, max_bad_fraction=0.2)",
        "import oneglance.features.embedding as home, oneglance.cli.main as main\n"
        "plain = home.embed\n"
        "home.embed = lambda pool, _, out, **options: plain(pool, nets, out, **options)\n"
        "sys.argv = ['oneglance', 'embed', *sys.argv[1:2], '-b', 'torchscript:x.pt', '--out', sys.argv[2],"
        " '--shard-rows', '5', '--batch-size', '2', '--workers', '1']\n"
        "main.main()",
    )
    with subprocess.Popen([sys.executable, "-c", command, str(pool), str(out)], stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 60
        while len(finished(out)) < 3:
            assert run.poll() is None, run.stderr.read().decode()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        run.send_signal(stop)
        message = run.stderr.read().decode()  # type: ignore[union-attr]
        assert run.wait() == 4
    assert "interrupted; run the same command again to go on." in message
    assert "Traceback" not in message
    assert not (out / ".lock").exists()
    assert not list(out.rglob("*.tmp"))
    with start(pool, out) as last:
        assert last.wait() == 0, last.stderr.read().decode()  # type: ignore[union-attr]
