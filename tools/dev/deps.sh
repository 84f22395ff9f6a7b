#!/bin/bash
# usage: deps.sh [build|all|bench]: what building needs; also what tests, demo and lint need; also what benchmarks need.
# Stamped by the content of packaging/deps, so that a repeated call is instant.
set -euo pipefail
cd "$(dirname "$0")/../.."

set_name=${1:-all}
case $set_name in
  build) lists=(packaging/deps/build.txt) ;;
  all) lists=(packaging/deps/build.txt packaging/deps/test.txt) ;;
  bench) lists=(packaging/deps/build.txt packaging/deps/test.txt packaging/deps/bench.txt) ;;
  *)
    echo "usage: ./dev deps [build|all|bench]" >&2
    exit 2
    ;;
esac
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
prefix=$PWD/build/deps
# The prefix is part of it: fuse3.pc holds it, and a checkout may move.
content=$(cat packaging/deps/* tools/dev/deps.sh | sha256sum | cut -d' ' -f1)
stamp=$(echo "$release $prefix $content" | sha256sum | cut -d' ' -f1)

stamped() { [[ -f build/deps/stamp-$1 && $(<"build/deps/stamp-$1") == "$stamp" ]]; }
if stamped "$set_name" || { [[ $set_name != bench ]] && stamped bench; } || { [[ $set_name == build ]] && stamped all; }; then
  exit 0
fi

# A line's packages for this release, without comments; of alternatives all are given, separated by '|'.
wanted() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "${lists[@]}" | while IFS='[' read -r names releases; do
    if [[ -z $releases || " ${releases%]*} " == *" $release "* ]]; then
      echo "${names// /}"
    fi
  done
}

installed() { [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == "install ok installed" ]]; }
known() { apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

# Lines of which no alternative is installed.
missing() {
  local line name
  wanted | while read -r line; do
    for name in ${line//|/ }; do
      installed "$name" && continue 2
    done
    echo "$line"
  done
}

# Packages that bring a server may start it; here servers are started by the tests alone.
stop_new_servers() {
  local name
  for name in "$@"; do
    case $name in
      postgresql | redis-server) service "$name" stop >/dev/null 2>&1 || true ;;
    esac
  done
}

mapfile -t lines < <(missing)
if ((${#lines[@]})); then
  if ((EUID != 0)); then
    echo "deps: as root, install: ${lines[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt=(apt-get -qq -o Acquire::Retries=5 -o Dpkg::Use-Pty=0)
  "${apt[@]}" update
  packages=()
  for line in "${lines[@]}"; do
    for name in ${line//|/ }; do
      if known "$name"; then
        packages+=("$name")
        continue 2
      fi
    done
    echo "deps: apt knows no package for '$line'" >&2
    exit 1
  done
  echo "installing ${packages[*]}"
  mkdir -p build/log
  "${apt[@]}" install -y --no-install-recommends "${packages[@]}" </dev/null >build/log/apt.log 2>&1 || {
    tail -n 30 build/log/apt.log >&2
    exit 1
  }
  stop_new_servers "${packages[@]}"
fi

libfuse=$(sha256sum packaging/deps/libfuse.sh | cut -d' ' -f1)
libfuse_stamp="$release $prefix $libfuse"
if [[ ! -f build/deps/stamp-libfuse || $(<build/deps/stamp-libfuse) != "$libfuse_stamp" ]]; then
  packaging/deps/libfuse.sh "$prefix"
  echo "$libfuse_stamp" >build/deps/stamp-libfuse
fi
if [[ $set_name == bench ]]; then
  packaging/deps/passthrough.sh "$prefix"
fi
echo "$stamp" >"build/deps/stamp-$set_name"
