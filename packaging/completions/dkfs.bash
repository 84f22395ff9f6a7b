# shellcheck shell=bash
# bash completion for dkfs, dkfsctl and dkfs-replay.

_dkfs_reply() { mapfile -t COMPREPLY < <(compgen "$@"); }

_dkfs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  case $prev in
    --store) _dkfs_reply -d -- "$cur" ;;
    --order) _dkfs_reply -W 'calls fsync' -- "$cur" ;;
    --config) _dkfs_reply -f -- "$cur" ;;
    --metrics-addr) _dkfs_reply -W 'off 127.0.0.1:9911' -- "$cur" ;;
    --retain | --budget | -o) COMPREPLY=() ;;
    *)
      if [[ $cur == -* ]]; then
        _dkfs_reply -W '-f -d -o --store --order --retain --budget --metrics-addr --config --help --version' -- "$cur"
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
    _dkfs_reply -W 'status sync unmount aside --help --version' -- "$cur"
  elif [[ ${COMP_WORDS[1]} == aside ]] && ((COMP_CWORD == 2)); then
    _dkfs_reply -W 'list remove' -- "$cur"
  elif [[ $cur == -* && ${COMP_WORDS[1]} == status ]]; then
    _dkfs_reply -W '--json' -- "$cur"
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
