# shellcheck shell=bash
# bash completion for dkfs, dkfsctl and dkfs-replay.

_dkfs_reply() { mapfile -t COMPREPLY < <(compgen "$@"); }

_dkfs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  case $prev in
    --store) _dkfs_reply -d -- "$cur" ;;
    --order) _dkfs_reply -W 'calls fsync' -- "$cur" ;;
    --config | --btf | --hints) _dkfs_reply -f -- "$cur" ;;
    --btf-cache) _dkfs_reply -d -- "$cur" ;;
    --hotness) _dkfs_reply -W 'auto bpf fuse off' -- "$cur" ;;
    --io-uring) _dkfs_reply -W 'auto on off' -- "$cur" ;;
    --cpu-latency) _dkfs_reply -W 'auto off 0' -- "$cur" ;;
    --layouts) _dkfs_reply -W 'adaptive fixed' -- "$cur" ;;
    --hydrate-order) _dkfs_reply -W 'hot file' -- "$cur" ;;
    --hydrate-rate) _dkfs_reply -W 'off 64M' -- "$cur" ;;
    --btf-mirror) _dkfs_reply -W 'https://' -- "$cur" ;;
    --metrics-addr) _dkfs_reply -W 'off 127.0.0.1:9911' -- "$cur" ;;
    --retain | --budget | --profiler-interval | --profiler-alpha | --profiler-dwell | -o) COMPREPLY=() ;;
    *)
      if [[ $cur == -* ]]; then
        _dkfs_reply -W '-f -d -o --store --order --retain --budget --metrics-addr --hotness --layouts --hints --hydrate-order --hydrate-rate --io-uring --cpu-latency --profiler-interval --profiler-alpha --profiler-dwell --btf --btf-cache --btf-mirror --config --help --version' -- "$cur"
      else
        _dkfs_reply -d -- "$cur"
      fi
      ;;
  esac
}

# The directories where a dkfs is mounted.
_dkfs_mounts() { findmnt -rno TARGET -t fuse.dkfs 2>/dev/null; }

_dkfsctl() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  if ((COMP_CWORD == 1)); then
    _dkfs_reply -W 'status sync unmount aside top explain --help --version' -- "$cur"
  elif [[ ${COMP_WORDS[1]} == aside ]] && ((COMP_CWORD == 2)); then
    _dkfs_reply -W 'list remove' -- "$cur"
  elif [[ $cur == -* && ${COMP_WORDS[1]} =~ ^(status|top|explain)$ ]]; then
    _dkfs_reply -W '--json' -- "$cur"
  elif [[ ${COMP_WORDS[1]} == explain ]]; then
    _dkfs_reply -f -- "$cur"
  else
    _dkfs_reply -W "$(_dkfs_mounts)" -- "$cur"
  fi
}

_dkfs_replay() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  if ((COMP_CWORD == 1)); then
    _dkfs_reply -W 'restore verify reindex --help --version' -- "$cur"
    return
  fi
  case $prev in
    --store | --to) _dkfs_reply -d -- "$cur" ;;
    --at) _dkfs_reply -W 'latest seq:' -- "$cur" ;;
    *)
      if [[ ${COMP_WORDS[1]} == restore ]]; then
        _dkfs_reply -W '--store --to --at --keep-going' -- "$cur"
      elif [[ ${COMP_WORDS[1]} == verify ]]; then
        _dkfs_reply -W '--store --quick' -- "$cur"
      else
        _dkfs_reply -W '--store' -- "$cur"
      fi
      ;;
  esac
}

complete -F _dkfs dkfs
complete -F _dkfsctl dkfsctl
complete -F _dkfs_replay dkfs-replay
