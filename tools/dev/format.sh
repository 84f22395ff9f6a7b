#!/bin/bash
# usage: format.sh [--check]
# Versions of clang-format disagree about details, so only Debian 12's (14) decides; without it there is nothing to say.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

if ! command -v clang-format-14 >/dev/null; then
  echo "format: skipped, it is decided by clang-format-14 (Debian 12)"
  exit 0
fi
mapfile -t files < <(tracked '\.(cc|h)$')
if [[ ${1:-} == --check ]]; then
  clang-format-14 --dry-run -Werror --ferror-limit=1 "${files[@]}" || {
    echo "format: './dev format' mends this" >&2
    exit 1
  }
else
  clang-format-14 -i "${files[@]}"
fi
