#!/bin/bash
# Builds libfuse's example passthrough_ll, which benchmarks compare with, against the libfuse in PREFIX, into
# PREFIX/libexec; once. usage: passthrough.sh PREFIX
set -euo pipefail

prefix=$(realpath "${1:?usage: passthrough.sh PREFIX}")
out=$prefix/libexec/passthrough_ll
[[ ! -x $out ]] || exit 0
work=$(mktemp -d "${TMPDIR:-/tmp}/dkfs-passthrough.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
"$(dirname "${BASH_SOURCE[0]}")/libfuse_source.sh" "$work"

mkdir -p "$prefix/libexec"
# shellcheck disable=SC2046  # pkg-config's words
gcc -O2 "$work/fuse3/example/passthrough_ll.c" -o "$work/passthrough_ll" \
  $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs --static fuse3)
mv "$work/passthrough_ll" "$out"
echo "passthrough_ll in $prefix/libexec"
