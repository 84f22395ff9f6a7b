# shellcheck shell=bash
# What the scripts behind ./dev share. Sourced, with the checkout as working directory.

say() { printf '\n== %s\n' "$*"; }

# Where a preset's build lives; the optimised one owns build/ itself, so that its programs are in build/bin.
preset_dir() { [[ $1 == release ]] && echo build || echo "build/$1"; }

# What ccache holds serves every checkout on the machine, wherever it lies.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

configure_preset() {
  local log=build/log/configure-$1.log
  mkdir -p build/log
  cmake --preset "$1" >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
}

# build_preset PRESET [TARGET...]
build_preset() {
  local preset=$1
  shift
  say "build $preset"
  configure_preset "$preset" || return 1
  ninja --quiet -C "$(preset_dir "$preset")" "$@"
}

# in_namespace BIN COMMAND...: runs it where no mount and no process can outlive it. BIN: the folder of dkfs's programs.
in_namespace() {
  local bin=$1
  shift
  if mountpoint -q /; then
    unshare -mpf --mount-proc --kill-child --propagation private env DKFS_BIN="$bin" "$@"
  else
    # A plain chroot: its root is no mount, so its propagation cannot be changed; a private copy of it can be entered.
    # shellcheck disable=SC2016
    unshare -mpf --kill-child --propagation unchanged sh -c '
      mount --rbind / /mnt && mount --make-rprivate /mnt && mount -t proc proc /mnt/proc &&
        exec chroot /mnt env -C "$PWD" "$@"' sh DKFS_BIN="$bin" "$@"
  fi
}

# tracked REGEX: the files of this checkout by name, also those not committed yet; without git all outside build/.
tracked() {
  local f
  { git -c safe.directory='*' ls-files --cached --others --exclude-standard 2>/dev/null ||
    find . -path ./build -prune -o -type f -printf '%P\n'; } | grep -E "$1" | while read -r f; do
    [[ ! -f $f ]] || echo "$f"
  done
}
