#!/usr/bin/env bash
# Installs, builds and runs every test; fast ones first. CI runs exactly this.
#   --fast   unit and golden tests only
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages
install_catch2
setup_browser
setup_python requirements.txt requirements-test.txt
step "checking the format"
scripts/format.sh --check
SACCADE_TESTS=ON setup_build

# Two OpenMP teams on two cores slow each other down, and the checkpoints of the tests are tiny.
export OMP_NUM_THREADS=1 SACCADE_BUILD_DIR=$ROOT/build SACCADE_BINARY=$ROOT/build/bin/saccade
step "unit and golden tests"
ctest --test-dir build --output-on-failure -E 'pytest|e2e'
step "against the reference libraries"
USE_TORCH=0 .venv/bin/python -m pytest -q tests/structure tests/server
.venv/bin/python -m pytest -q tests/golden
[ "${1:-}" = --fast ] && exit 0

step "the program over HTTP, the default model among it"
.venv/bin/python scripts/fetch_default_model.py
.venv/bin/python -m pytest -q tests/e2e
step "deliberate bugs must turn the tests red"
.venv/bin/python tests/mutation/run.py
