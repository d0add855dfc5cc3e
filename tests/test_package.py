"""The installed package as a whole: names, import cost, processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

import oneglance as og
from oneglance import _core


def run(code, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}
    )


def test_public_names_are_sorted_and_all_exist():
    assert og.__all__ == sorted(og.__all__)
    for name in og.__all__:
        assert getattr(og, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'oneglance' has no attribute 'leverage'"):
        og.leverage  # noqa: B018


def test_import_loads_neither_torch_nor_ray_nor_pyarrow():
    done = run("import sys, oneglance; print([m for m in ('torch', 'ray', 'pyarrow', 'sklearn') if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_selection_on_arrays_needs_no_torch():
    done = run(
        "import sys, numpy, oneglance as og\n"
        "og.select(numpy.random.default_rng(0).normal(size=(50, 3)), 5)\n"
        "print('torch' in sys.modules)"
    )
    assert done.stdout.strip() == "False", done.stderr


def test_an_unusable_instruction_set_is_refused_by_name():
    done = run("from oneglance import _core", ONEGLANCE_ISA="sse9")
    assert done.returncode == 1
    assert "ONEGLANCE_ISA must be one of baseline" in done.stderr
    assert "got 'sse9'. Unset it to take the best." in done.stderr


def test_a_forked_child_computes_alone_instead_of_hanging():
    done = run(
        "import os, numpy, oneglance as og\n"
        "from oneglance import _core\n"
        "_core.set_threads(2)\n"
        "x = numpy.random.default_rng(0).normal(size=(20000, 64))\n"  # enough work to wake the pool
        "parent = og.lewis_weights(x, 1.0).weights\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    same = (og.lewis_weights(x, 1.0).weights == parent).all() and _core.build_info()['threads'] == 1\n"
        "    os._exit(0 if same else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        timeout=30,
    )
    assert done.stdout.strip() == "0", done.stderr


def test_ctrl_c_stops_a_long_computation_soon():
    code = (
        "import numpy, oneglance as og\n"
        "x = numpy.random.default_rng(0).normal(size=(60000, 256))\n"
        "print('ready', flush=True)\n"
        "while True: og.lewis_weights(x, 16.0, tol=1e-12, max_passes=1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


def test_threads_outside_their_range_are_refused():
    with pytest.raises(og.InvalidInput, match=r"n_threads must lie in 0\.\.64 \(0 = default\), got 65"):
        _core.set_threads(65)


def test_the_command_by_python_dash_m():
    asked = [sys.executable, "-m", "oneglance"]
    told = subprocess.run([*asked, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.startswith("Usage: oneglance ")
    wrong = subprocess.run([*asked, "selct"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "Did you mean 'select'?" in wrong.stderr
