#!/bin/sh
# Installs the Debian packages named as arguments that are missing. Says what it would need where it may not.
set -eu
command -v dpkg-query >/dev/null 2>&1 || { echo "not a Debian system: please install what corresponds to: $*" >&2; exit 0; }
missing=
for package in "$@"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else echo "missing Debian packages, and neither root nor sudo to install them:$missing" >&2; exit 1; fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086  # the list is meant to be split
$as_root apt-get install --yes --quiet --quiet --no-install-recommends $missing >/dev/null
