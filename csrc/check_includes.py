"""Keeps the layers of csrc/ one-way: include <- kernels <- algo, cuda <- bind; pybind11 in bind/, BLAS in dense.cpp."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
MAY_INCLUDE = {
    "include": {"include"},
    "kernels": {"include", "kernels"},
    "algo": {"include", "kernels", "algo"},
    "cuda": {"include", "cuda"},
    "bind": {"include", "cuda", "bind"},
}


def layer_of(target: str, source: Path) -> str | None:
    """Layer that an include names; None for the standard library and for pybind11."""
    if target.startswith("oneglance/"):
        return "include"
    for base in (source.parent, ROOT):
        path = (base / target).resolve()
        if path.is_file() and ROOT in path.parents:
            return path.relative_to(ROOT).parts[0]
    return None


def complaints() -> list[str]:
    found = []
    for source in sorted([*ROOT.rglob("*.h"), *ROOT.rglob("*.cpp"), *ROOT.rglob("*.cu")]):
        layer = source.relative_to(ROOT).parts[0]
        text = source.read_text()
        for target in INCLUDE.findall(text):
            named = layer_of(target, source)
            if named is not None and named not in MAY_INCLUDE[layer]:
                found.append(f"{source}: {layer}/ may not include {target} of {named}/")
            if target.startswith(("pybind11", "Python.h")) and layer != "bind":
                found.append(f"{source}: pybind11 belongs in bind/")
            if target.startswith("cuda") and layer != "cuda":
                found.append(f"{source}: CUDA headers belong in cuda/")
        if "scipy_" in text and source.name != "dense.cpp":
            found.append(f"{source}: BLAS and LAPACK are met in algo/dense.cpp alone")
    return found


if __name__ == "__main__":
    problems = complaints()
    print("\n".join(problems) or "csrc/ layers hold")
    sys.exit(1 if problems else 0)
