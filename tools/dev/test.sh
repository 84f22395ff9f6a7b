#!/bin/bash
# usage: test.sh [--all] [PART...] [-- PYTEST-ARG...]; see docs/testing.md.
# Each part leaves its results as XML in build/results/PART; tools/dev/count_results adds them up.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

all=0
parts=()
pytest_args=()
while (($#)); do
  case $1 in
    --all) all=1 ;;
    --)
      shift
      pytest_args=("$@")
      break
      ;;
    unit | protocol | crash | e2e | asan | tsan) parts+=("$1") ;;
    *)
      echo "test: no part '$1'; parts are unit protocol crash e2e asan tsan" >&2
      exit 2
      ;;
  esac
  shift
done
((${#parts[@]})) || parts=(unit protocol crash e2e asan tsan)

tools/dev/deps.sh all
results=$PWD/build/results
rm -rf --one-file-system "$results"
mkdir -p "$results"

# run_ctest PART PRESET LABEL: the C++ tests of a label. LABEL is a regular expression.
run_ctest() {
  local out=$results/$1 dir
  dir=$(preset_dir "$2")
  mkdir -p "$out/gtest"
  GTEST_OUTPUT="xml:$out/gtest/" DKFS_TEST_ALL=$all ctest --test-dir "$dir" -L "$3" -j "$(nproc)" --output-on-failure \
    --no-tests=ignore --output-junit "$out/ctest.xml" || true
}

# run_mounts PART PRESET FOLDER [PYTEST-ARG...]: pytest on real mounts; a killed run leaves no XML and counts as a failure.
run_mounts() {
  local out=$results/$1 preset=$2 folder=$3 limit=2400
  shift 3
  ((all)) && limit=10800
  touch "$out/e2e-expected"
  # A sanitizer's report ends in a file: a daemon's standard error may lead nowhere.
  local log=log_path=$out/sanitizer
  ASAN_OPTIONS="$log" UBSAN_OPTIONS="print_stacktrace=1:$log" LSAN_OPTIONS="print_suppressions=0" \
    TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:$log" DKFS_TEST_ALL=$all \
    DKFS_TIME_FACTOR=$([[ $preset == release ]] && echo 1 || echo 20) \
    in_namespace "$PWD/$(preset_dir "$preset")/bin" timeout -s KILL "$limit" \
    /usr/bin/python3 -m pytest "$folder" -q -ra --junit-xml="$out/pytest.xml" "$@" "${pytest_args[@]}" || true
}

# sanitized PART: the same programs under a sanitizer, e2e only the short form unless everything was asked for.
sanitized() {
  build_preset "$1" || return 1
  if ((all)); then
    run_ctest "$1" "$1" '^(unit|protocol|crash)$'
    run_mounts "$1" "$1" tests/e2e
  else
    run_ctest "$1" "$1" '^unit$'
    run_mounts "$1" "$1" tests/e2e -m short
  fi
}

# The same seeds each time: new ones are for campaigns, which say what they found without stopping a change.
crashes() (
  export DKFS_TEST_SEED=${DKFS_TEST_SEED:-22}
  build_preset release && run_ctest crash release '^crash$' && run_mounts crash release tests/crash
)

table=()
for part in "${parts[@]}"; do
  start=$SECONDS
  mkdir -p "$results/$part"
  say "test $part"
  broken=0
  case $part in
    unit | protocol) { build_preset release && run_ctest "$part" release "^$part\$"; } || broken=1 ;;
    crash) crashes || broken=1 ;;
    e2e) { build_preset release && run_mounts e2e release tests/e2e; } || broken=1 ;;
    asan | tsan) sanitized "$part" || broken=1 ;;
  esac
  ((broken)) && touch "$results/$part/broken"
  table+=("$part $((SECONDS - start))")
done

tools/dev/count_results "$results" "${table[@]}"
