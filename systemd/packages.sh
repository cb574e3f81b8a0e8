#!/bin/sh
# Installs the Debian packages named as arguments that are missing; says which are still missing, with the cure, and
# fails. Those after "--optional" are let go where whoever runs this may not install them (but not in CI).
set -eu
say() { echo "$*" >&2; }
command -v dpkg-query >/dev/null 2>&1 || { say "not a Debian system: please install what corresponds to: $*"; exit 0; }

needed= wanted= optional=no
for package in "$@"; do
    [ "$package" != --optional ] || { optional=yes; continue; }
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" = installed ]; then continue
    elif [ $optional = yes ]; then wanted="$wanted $package"
    else needed="$needed $package"; fi
done
[ -n "$needed$wanted" ] || exit 0

give_up() {
    say "$1 Missing:$needed$wanted"
    say "The cure, as root: apt-get install$needed$wanted"
    [ -z "$needed" ] && [ "$user" != 0 ] && [ -z "${CI:-}" ] || exit 1
    say "Going on without; what needs them is left out."
    exit 0
}

user=$(id -u)
if [ "$user" = 0 ]; then as_root=
elif command -v sudo >/dev/null 2>&1; then as_root=sudo
else give_up "Neither root nor sudo to install Debian packages."; fi

echo "installing Debian packages:$needed$wanted"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # the lists are meant to be split
{
    $as_root apt-get update -qq &&
        $as_root apt-get install --yes --quiet --quiet --no-install-recommends $needed $wanted >/dev/null
} || give_up "Debian packages could not be installed (see above)."
