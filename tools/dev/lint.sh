#!/bin/bash
# What a compiler or a reader of text can find without running dkfs. Cheap checks first; every check runs, then it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh
tools/dev/deps.sh all
export LC_ALL=C.UTF-8
failed=()

# check NAME COMMAND...: runs it, prints its time, remembers a failure.
check() {
  local name=$1 start=$SECONDS
  shift
  say "lint: $name"
  "$@" || failed+=("$name")
  echo "$name: $((SECONDS - start)) s"
}

shell_scripts() {
  local f
  for f in $(tracked .); do
    [[ $f == *.sh ]] || head -n 1 "$f" | grep -aqE '^#!/bin/(ba)?sh' && echo "$f"
  done
  return 0
}

python_scripts() {
  local f
  for f in $(tracked .); do
    [[ $f == *.py ]] || head -n 1 "$f" | grep -aqE '^#!.*python3' && echo "$f"
  done
  return 0
}

lint_shell() { shell_scripts | xargs -r shellcheck -x; }

lint_python() { python_scripts | xargs -r /usr/bin/python3 -m pyflakes; }

lint_man() {
  local page warnings bad=0
  for page in $(tracked '^packaging/man/'); do
    warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [[ -z $warnings ]] || {
      echo "$page: $warnings" >&2
      bad=1
    }
  done
  return $bad
}

# Without the files that are only built where Google Benchmark is installed, if it is not.
buildable() {
  if grep -q tests/bench/micro build/lint/compile_commands.json; then cat; else grep -v '^tests/bench/micro/'; fi
}

lint_cpp() {
  configure_preset lint || return 1
  cmake --build build/lint --target dkfs_bpf_skeleton >/dev/null || return 1  # a header that sources include
  tracked '^(store|fs|tools|tests)/.*\.cc$' | buildable | xargs -r tools/dev/tidy build/lint
}

check format tools/dev/format.sh --check
check shell lint_shell
check python lint_python
check man lint_man
check "clang, clang-tidy" lint_cpp

if ((${#failed[@]})); then
  say "lint failed: ${failed[*]}"
  exit 1
fi
say "lint passed in $SECONDS s"
