#!/bin/bash
# Builds Debian 13's libfuse 3.17 statically into PREFIX (see docs/decisions/0003-private-libfuse.md).
# usage: libfuse.sh PREFIX
set -euo pipefail

prefix=$(realpath -m "${1:?usage: libfuse.sh PREFIX}")
work=$(mktemp -d "${TMPDIR:-/tmp}/dkfs-libfuse.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
"$(dirname "${BASH_SOURCE[0]}")/libfuse_source.sh" "$work"

# PIC, since the library also goes into sanitizer builds linked as PIE; --libdir=lib, since the multiarch folder is not ours.
meson setup "$work/build" "$work/fuse3" --prefix="$prefix" --libdir=lib --buildtype=debugoptimized --default-library=static \
  -Db_staticpic=true -Dexamples=false -Dutils=false -Dtests=false -Duseroot=false >"$work/meson.log" ||
  { cat "$work/meson.log" >&2; exit 1; }
ninja -C "$work/build" >"$work/ninja.log" || { cat "$work/ninja.log" >&2; exit 1; }
meson install -C "$work/build" --no-rebuild --quiet
echo "libfuse $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion fuse3) in $prefix"
