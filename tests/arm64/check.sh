#!/bin/bash
# `make arm64`: does a 64-bit ARM device get all it needs, and does it work there? For each Debian that Raspberry Pi OS is
# made of, in a chroot with an emulated processor: every dependency comes as a wheel, as Debian's package, or is built from
# source; the program is installed as systemd/install.sh does it; and some of its tests run (device.sh).
#
#     check.sh [RELEASE...]         bookworm and trixie by default
#
# The chroots are kept in $ARM64_CACHE under the hash of what they are made of; each run works on an overlay. All mounts
# are in a namespace of their own, so they are gone when the run is, however it ends.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
PYTHON=${PYTHON:?the Python whose pip fetches the packages}
CACHE=${ARM64_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callpoint-arm64}
RESULT=$ROOT/build/arm64
BINFMT=/proc/sys/fs/binfmt_misc
ENTRY=callpoint-arm64
NO_BINFMT="this kernel runs no programs of other processors (binfmt_misc); take another machine"
# What an arm64 program's first 20 bytes look like: ELF, 64 bit, little-endian, executable or library, machine 183.
MAGIC='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

fail() { echo "make arm64: $*" >&2; exit 1; }
step() { printf '  %4d s  %s\n' "$SECONDS" "$*"; }

[ "$(id -u)" = 0 ] || fail "needs root, to make a Debian in a folder and to mount it; try: sudo make arm64"
for tool in mmdebstrap unshare flock; do
  command -v $tool >/dev/null || fail "$tool is missing: see APT_ARM64 in the Makefile"
done

# All of it in a mount namespace of its own, and binfmt_misc mounted in it to the end: where nobody else has it mounted,
# its entries go with its last mount.
[ -n "${ARM64_APART:-}" ] || exec env ARM64_APART=1 unshare --mount --propagation private bash "$0" "$@"

# The kernel is told to run arm64 programs with qemu, until this script ends. "F" opens qemu now, so that it need not be
# in the chroot.
ours=no
emulate() {
  [ "$(uname -m)" != aarch64 ] || return 0
  qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || fail "qemu-user-static is missing: see APT_ARM64 in the Makefile"
  [ -e $BINFMT/register ] || mount -t binfmt_misc none $BINFMT || fail "$NO_BINFMT"
  [ ! -e $BINFMT/qemu-aarch64 ] || return 0
  printf '%s' ":$ENTRY:M::$MAGIC:$MASK:$qemu:F" > $BINFMT/register || fail "$NO_BINFMT"
  ours=yes
}

child=
clean_up() {
  [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
  [ -z "$child" ] || wait "$child" 2>/dev/null || true
  [ $ours = no ] || echo -1 > $BINFMT/$ENTRY || true
  [ -z "${work:-}" ] || rm -rf "$work"
}

# In namespaces of their own: killing the first process of them ends all others, and with them the mounts.
apart() {
  unshare --mount --propagation private --pid --fork --kill-child=KILL "$@" </dev/null &
  child=$!
  code=0
  wait "$child" || code=$?
  child=
  return $code
}

hash_of() { { echo "$1"; cat "$HERE/make_chroot.sh"; grep '^packages=' "$ROOT/systemd/install.sh"; } | sha256sum | cut -c1-16; }

check() {
  release=$1
  chroot=$CACHE/$release-$(hash_of "$release")
  if [ ! -e "$chroot" ]; then
    echo "making an arm64 Debian $release: about ten minutes, once"
    rm -rf --one-file-system "$CACHE/$release"-*
    apart sh "$HERE/make_chroot.sh" "$release" "$chroot" || fail "no chroot of $release (see above)"
  fi
  mkdir -p "$work/$release/wheels"
  step "$release: what PyPI has for it"
  "$PYTHON" "$HERE/resolve.py" "$release" "$work/$release/wheels" || fail "not everything can be had (see above)"
  step "$release: install, import, test"
  apart sh "$HERE/device.sh" "$chroot" "$work/$release" "$ROOT" "$RESULT/$release.md"
  step "$release: done"
}

mkdir -p "$CACHE" "$RESULT"
exec 9> "$CACHE/lock"
flock --nonblock 9 || fail "another run is going on (it holds $CACHE/lock)"
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
work=$(mktemp -d "$CACHE/work.XXXXXX")
emulate
[ $# -gt 0 ] || set -- bookworm trixie
for each; do check "$each"; done
for each; do cat "$RESULT/$each.md"; done
echo "written to $RESULT"
