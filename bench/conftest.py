"""`versus`: times our code and its baseline in turns, keeps both medians, prints one table at the end."""

import statistics
import time
from dataclasses import dataclass

import pytest

import oneglance as og


def settle():
    """Idle threads of NumPy's BLAS and of OpenMP spin for a while after their work: let them go to sleep."""
    time.sleep(0.25)


@dataclass
class Row:
    case: str
    ours_s: float
    baseline_s: float
    target: str
    met: bool


_rows: list[Row] = []
_card_lines: list[str] = []


@pytest.fixture
def versus(benchmark):
    """versus(case, ours, baseline, rounds=, at_most=x | at_least=y, scale=1).

    at_most    ours / baseline must not exceed it        at_least   baseline / ours must reach it
    case       its name, or a function that gives it when all is done, for cases that tell what the baseline reached
    scale      the baseline's seconds times this: it did that part of the work (a floor, or a loop whose steps
               all cost the same; the case says so)
    The baseline runs right before every round of ours, so both see the same state of the machine.
    Targets are reported, never asserted: a wall-clock bound does not belong in a test.
    """

    def run(case, ours, baseline, *, rounds=7, at_most=None, at_least=None, scale=1.0):
        seconds = []

        def timed_baseline():
            settle()
            start = time.perf_counter()
            baseline()
            seconds.append(scale * (time.perf_counter() - start))
            settle()

        ours()  # warm caches, thread pool and page tables
        benchmark.pedantic(ours, setup=timed_baseline, rounds=rounds)
        if benchmark.stats is None:  # --benchmark-disable: it ran, nothing was measured
            return
        name = case() if callable(case) else case
        ours_s, baseline_s = benchmark.stats.stats.median, statistics.median(seconds)
        if at_most is not None:
            value, target = ours_s / baseline_s, f"<= {at_most:.2f} x baseline"
            met = value <= at_most
        else:
            value, target = baseline_s / ours_s, f">= {at_least:g} x faster"
            met = value >= at_least
        benchmark.extra_info.update(case=name, baseline_median_s=baseline_s, ratio=value, target=target, met=met)
        _rows.append(Row(name, ours_s, baseline_s, target, met))

    return run


@pytest.fixture
def card():
    """A CUDA card, or emulated kernels on a few rows: see cuda_timing.py."""
    import cuda_timing

    with cuda_timing.found_card() as found:
        yield found
        if found.rows:
            found.write()
            _card_lines.extend(found.lines())


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["oneglance"] = og.build_info()


def pytest_terminal_summary(terminalreporter):
    if _card_lines:
        terminalreporter.section("on the card (medians between CUDA events)")
        for line in _card_lines:
            terminalreporter.line(line)
    if not _rows:
        return
    terminalreporter.section("ours against the baseline of the same run (medians)")
    width = max(len(row.case) for row in _rows)
    for row in _rows:
        ratio = row.ours_s / row.baseline_s
        terminalreporter.line(
            f"{row.case:<{width}}  ours {row.ours_s:8.3f} s  baseline {row.baseline_s:8.3f} s  "
            f"ours/baseline {ratio:5.2f}  baseline/ours {1 / ratio:6.2f}  target {row.target:<19}"
            f"  {'met' if row.met else 'NOT MET'}"
        )
