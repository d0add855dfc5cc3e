"""Fails when a kernel object defines a global or weak symbol besides its table.

An inline function compiled for AVX-512 may be the copy that the linker keeps for the whole program,
which then dies with SIGILL on older processors.
"""

import re
import subprocess
import sys

EXPORTED = re.compile(r"oneglance.*[a-z]+_kernels_\w+")


def main(objects: list[str]) -> int:
    if not objects:
        print("no kernel objects given")
        return 1
    bad = []
    for path in objects:
        lines = subprocess.run(["nm", "--defined-only", path], check=True, capture_output=True, text=True).stdout
        symbols = [line.split() for line in lines.splitlines()]
        exported = [name for _, kind, name in symbols if kind.isupper() or kind in "vwu"]
        tables = [name for name in exported if EXPORTED.search(name)]
        if len(tables) != 1:
            bad.append(f"{path}: expected one table, found {tables}")
        bad += [f"{path}: leaks {name}" for name in exported if name not in tables]
    print("\n".join(bad) or f"{len(objects)} kernel objects export only their table")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
