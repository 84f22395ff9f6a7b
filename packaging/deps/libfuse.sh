#!/bin/bash
# Builds Debian 13's libfuse 3.17 statically into PREFIX (see docs/decisions/0003-private-libfuse.md).
# usage: libfuse.sh PREFIX
# The source comes from the mirror that apt already uses, is checked against Debian's archive keyring, and carries Debian's
# patches. Every apt file is private to this run: nothing under /etc/apt or /var/lib/apt is touched.
set -euo pipefail

prefix=$(realpath -m "${1:?usage: libfuse.sh PREFIX}")
release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
work=$(mktemp -d "${TMPDIR:-/tmp}/dkfs-libfuse.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

# The mirror of the release that is installed here, not the one of its security updates.
# shellcheck disable=SC2016  # the dollars are apt's
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk '$3 == "main" && $2 !~ /security|updates|backports/ { print $1; exit }')
if [[ -z $mirror ]]; then
  echo "libfuse.sh: apt knows no Debian mirror (see 'apt-get indextargets'); add one to apt's sources" >&2
  exit 1
fi

mkdir -p "$work"/{lists,cache,parts,source}
echo "deb-src [signed-by=$keyring] $mirror $release main" >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=$work/parts"
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=5)
"${apt[@]}" update
(cd "$work/source" && "${apt[@]}" source --download-only fuse3)
dpkg-source --no-check -x "$work"/source/fuse3_*.dsc "$work/fuse3" >/dev/null

# PIC, since the library also goes into sanitizer builds linked as PIE; --libdir=lib, since the multiarch folder is not ours.
meson setup "$work/build" "$work/fuse3" --prefix="$prefix" --libdir=lib --buildtype=debugoptimized --default-library=static \
  -Db_staticpic=true -Dexamples=false -Dutils=false -Dtests=false -Duseroot=false >"$work/meson.log" ||
  { cat "$work/meson.log" >&2; exit 1; }
ninja -C "$work/build" >"$work/ninja.log" || { cat "$work/ninja.log" >&2; exit 1; }
meson install -C "$work/build" --no-rebuild --quiet
echo "libfuse $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion fuse3) in $prefix"
