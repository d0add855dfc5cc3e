# Common commands. `just` lists them; each is plain shell and works without just.

stubs_dir := "build/stubs"

[private]
default:
    @just --list --unsorted

# editable install with everything that tests and linters need
setup:
    python -m pip install 'scikit-build-core>=0.11' 'pybind11>=3.0' 'scipy-openblas32>=0.3.28' cmake ninja
    python -m pip install --no-build-isolation --editable '.[test,lint]'

# C++ alone: dev, release, asan, tsan, cuda or tidy
build preset="dev":
    cmake --workflow --preset {{preset}}

# all tests, or those named
test *args:
    python -m pytest {{args}}

# the numeric tests under each instruction set that this machine can run
test-isa:
    for isa in $(python -c "import oneglance; print(*oneglance.build_info()['isa_runnable'])"); do \
        ONEGLANCE_ISA=$isa python -m pytest -q tests/contract tests/property || exit 1; \
    done

# address and undefined-behaviour sanitizers over the contract
asan:
    cmake --workflow --preset asan
    .ci/with_sanitizer asan python tests/contract/battery.py build/asan/battery.npz

# thread sanitizer over every threaded path
tsan:
    cmake --workflow --preset tsan
    .ci/with_sanitizer tsan python tests/contract/race.py

# style, layers and includes
lint:
    ruff check python tests bench examples csrc
    ruff format --check python tests bench examples csrc
    clang-format --dry-run --Werror csrc/*/*.cpp csrc/*/*.h csrc/include/oneglance/*.h
    lint-imports
    python csrc/check_includes.py

# mypy --strict on the package
types:
    mypy

# the committed stub of the compiled module is the generated one
stubs:
    pybind11-stubgen oneglance._core -o {{stubs_dir}} --exit-code
    diff python/oneglance/_core.pyi {{stubs_dir}}/oneglance/_core.pyi

# benchmarks with their baselines, into bench/results/NAME.json
bench name:
    mkdir -p bench/results
    python -m pytest bench/bench_lewis.py bench/bench_leverage.py bench/bench_memory.py \
        --benchmark-json bench/results/{{name}}.json

# the documentation's Python runs, its commands and links exist
docs:
    python -m pytest tests/test_docs.py

# how the installed package was built, and whether it computes right
doctor:
    oneglance doctor
