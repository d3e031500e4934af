#!/usr/bin/env bash
# From a fresh Debian 12 machine to a served model: installs, builds, makes the default model, starts
# the server on 127.0.0.1:8000, asks it about a picture and keeps serving until Ctrl-C.
#   --once        stop after the answer (exit status 0 only if it came)
#   --port PORT   another port
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

once=0 port=8000
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=1 ;;
    --port) port=${2:?--port needs a number}; shift ;;
    -h|--help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  shift
done

setup_packages
setup_python requirements.txt
setup_build saccade
if [ ! -f models/default/model.safetensors ]; then step "making the default model"; fi
.venv/bin/python scripts/fetch_default_model.py --output models/default

step "starting the server on port $port"
build/bin/saccade serve models/default --port "$port" --served-model-name saccade-default &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
  kill -0 $server 2>/dev/null || fail "the server ended; its message is above"
  sleep 0.1
done

picture=docs/images/sample.png
question='What color is the circle?'
step "asking about $picture: $question"
body=$(mktemp)
trap 'kill $server 2>/dev/null || true; rm -f "$body"' EXIT
printf '{"model":"saccade-default","stream":true,"max_tokens":24,"temperature":0,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}},{"type":"text","text":"%s"}]}]}' \
  "$(base64 -w0 "$picture")" "$question" >"$body"
answer=$(curl -sSN "http://127.0.0.1:$port/v1/chat/completions" -H 'Content-Type: application/json' -d @"$body" |
  tee /dev/stderr)
printf '%s' "$answer" | grep -q '"content":"' && printf '%s' "$answer" | grep -q '\[DONE\]' ||
  fail "no streamed answer came"

cat >&2 <<TEXT

Ask it yourself:
  curl http://127.0.0.1:$port/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"messages":[{"role":"user","content":"What is the capital of France?"}],"max_tokens":40}'
The page: http://127.0.0.1:$port/
TEXT
[ $once = 1 ] && exit 0
trap 'kill -TERM $server; wait $server; rm -f "$body"; exit 0' INT TERM
wait $server
