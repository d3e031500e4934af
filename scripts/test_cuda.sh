#!/usr/bin/env bash
# Builds the engine, its tests and its bench with a CUDA libtorch alone (no server, no Debian packages but Catch2)
# and runs the engine's tests twice: on this machine's processor, then on its GPU.
#   SACCADE_TORCH_DIR  a CUDA libtorch or torch wheel folder; default: that of python3
#   CMAKE_PREFIX_PATH  where Catch2 3 lies, if not in the system's folders
# usage: scripts/test_cuda.sh [BUILD_DIR]
set -uo pipefail
cd "$(dirname "$0")/.."
build=${1:-build-cuda}
logs=${SACCADE_LOG_DIR:-$build/logs}
mkdir -p "$logs"

cmake -G Ninja -S . -B "$build" -DSACCADE_SERVER=OFF -DSACCADE_TORCH_DIR="${SACCADE_TORCH_DIR:-}" >"$logs/configure.log" 2>&1 ||
  { tail -20 "$logs/configure.log"; exit 1; }
ninja -C "$build" -k 0 >"$logs/build.log" 2>&1 || { grep -E 'error|FAILED' "$logs/build.log" | head -40; exit 1; }

status=0
for device in cpu cuda; do
  echo "== $device"
  SACCADE_TEST_DEVICE=$device OMP_NUM_THREADS=4 ctest --test-dir "$build" -j 4 --output-on-failure --timeout 300 \
    >"$logs/$device.log" 2>&1 || status=1
  grep -E '^ *[0-9]+/[0-9]+ Test|tests passed' "$logs/$device.log"
done
exit $status
