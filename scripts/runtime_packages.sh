#!/usr/bin/env bash
# The Debian packages whose shared libraries a program asks for by name, one a line; theirs come with them.
#   scripts/runtime_packages.sh build/bin/saccade
set -euo pipefail

program=${1:?usage: runtime_packages.sh PROGRAM}
ldd "$program" | grep -q 'not found' && { ldd "$program" | grep 'not found' >&2; exit 1; }
readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r name; do
  path=$(ldd "$program" | awk -v name="$name" '$1 == name {print $3}')
  [ -n "$path" ] || continue
  # dpkg knows /lib as /lib or as /usr/lib. What no package owns (libtorch) is installed beside the program.
  { dpkg-query -S "$path" || dpkg-query -S "$(realpath "$path")" || true; } 2>/dev/null
done | sed 's/:.*//' | sort -u
