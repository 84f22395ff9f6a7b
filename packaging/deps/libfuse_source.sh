#!/bin/bash
# Fetches and unpacks Debian 13's libfuse source into FOLDER/fuse3; FOLDER must exist. usage: libfuse_source.sh FOLDER
# The source comes from the mirror that apt already uses, is checked against Debian's archive keyring, and carries Debian's
# patches. Every apt file is private to this run: nothing under /etc/apt or /var/lib/apt is touched.
set -euo pipefail

work=$(realpath "${1:?usage: libfuse_source.sh FOLDER}")
release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror of the release that is installed here, not the one of its security updates.
# shellcheck disable=SC2016  # the dollars are apt's
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk '$3 == "main" && $2 !~ /security|updates|backports/ { print $1; exit }')
if [[ -z $mirror ]]; then
  echo "libfuse_source.sh: apt knows no Debian mirror (see 'apt-get indextargets'); add one to apt's sources" >&2
  exit 1
fi

mkdir -p "$work"/{lists,cache,parts,source}
echo "deb-src [signed-by=$keyring] $mirror $release main" >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=$work/parts"
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=5)
"${apt[@]}" update
(cd "$work/source" && "${apt[@]}" source --download-only fuse3)
dpkg-source --no-check -x "$work"/source/fuse3_*.dsc "$work/fuse3" >/dev/null
