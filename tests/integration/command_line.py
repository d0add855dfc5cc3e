"""The command line as a user meets it, without a process of its own."""

import contextlib
import io
import sys

from oneglance.cli.main import main


def run(*args, code=0):
    """(stdout, stderr) of the command, with its exit code checked."""
    out, err = io.StringIO(), io.StringIO()
    argv = sys.argv
    sys.argv = ["oneglance", *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        exit_code = 0
    except SystemExit as stop:
        exit_code = stop.code
    finally:
        sys.argv = argv
    assert exit_code == code, (exit_code, out.getvalue(), err.getvalue())
    return out.getvalue(), err.getvalue()
