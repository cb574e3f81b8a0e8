#!/bin/sh
# Makes the arm64 Debian that the check runs in: the packages that systemd/install.sh puts on a device, and no more.
# Without python3-lgpio, which it takes where PyPI has no wheel: that is Raspberry Pi OS's own, Debian has none.
#
#     make_chroot.sh RELEASE FOLDER
#
# Needs root, mmdebstrap, and a kernel that runs arm64 programs: check.sh sees to that, so mmdebstrap need not look.
set -eu
RELEASE=${1:?a Debian release}
OUT=${2:?a folder for the chroot}
HERE=$(cd "$(dirname "$0")" && pwd)

packages=$(sed -n 's/^packages="\([^$]*\)"$/\1/p' "$HERE/../../systemd/install.sh")
[ -n "$packages" ] || { echo "systemd/install.sh has no line packages=\"...\" any more" >&2; exit 1; }
# Where apt gets its packages from on this machine, be it a mirror.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u | grep -v security | head -1)

rm -rf --one-file-system "$OUT.part"
# shellcheck disable=SC2086  # the list is meant to be split
mmdebstrap --quiet --variant=minbase --mode=root --architectures=arm64 --skip=check/qemu --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(printf %s "$packages" | tr -s ' ' ,)" "$RELEASE" "$OUT.part" "$mirror"
mv "$OUT.part" "$OUT"
