#!/bin/sh
# Installs Callpoint on this device as a systemd service; `sudo make install`. Run it again after an update or
# after adding a secret: it keeps the config and whatever else is yours.
set -eu

home=/opt/callpoint
etc=/etc/callpoint
units=/etc/systemd/system
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$(dirname -- "$here")

fail() { echo "callpoint cannot be installed: $*" >&2; exit 1; }
say() { echo "callpoint: $*"; }

[ "$(id -u)" = 0 ] || fail "this needs root; try: sudo make install"
[ -d /run/systemd/system ] || fail "systemd does not run this system (in a container, start one that boots systemd)"
[ "$(getconf LONG_BIT)" = 64 ] || fail "this system is 32-bit; take the 64-bit Raspberry Pi OS"

# Debian's own Python by default: one from a home directory could not be read by the service.
python=${PYTHON:-/usr/bin/python3}
command -v "$python" >/dev/null 2>&1 || fail "$python is missing; try: apt install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old, 3.11 is needed; take Raspberry Pi OS bookworm or later"

packages="gcc python3-dev python3-venv libasound2-dev libsystemd-dev pkg-config libopus0 libspeexdsp1"
venv_options=
if [ "$(uname -m)" = aarch64 ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
    # PyPI has no lgpio for this Python; Debian has, and the virtual environment must see it.
    packages="$packages python3-lgpio"
    venv_options=--system-site-packages
fi
# shellcheck disable=SC2086  # the list is meant to be split
sh "$here/packages.sh" $packages || fail "Debian packages are missing (see above); is the network up?"

say "user and groups"
install -D -m 644 "$here/sysusers.d/callpoint.conf" /etc/sysusers.d/callpoint.conf
systemd-sysusers /etc/sysusers.d/callpoint.conf || fail "systemd-sysusers could not make the user callpoint"

say "virtual environment in $home/venv (takes a few minutes on a small Pi)"
wanted=$("$python" -c 'import sys; print(sys.version_info[:2])')
present=$("$home/venv/bin/python" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null || true)
if [ "$wanted" != "$present" ]; then
    mkdir -p "$home"
    # shellcheck disable=SC2086  # empty or one option
    "$python" -m venv --clear $venv_options "$home/venv" || fail "python -m venv failed (see above)"
fi
# From a copy: a build inside the source leaves files there that the next build would pack again.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for part in pyproject.toml README.md LICENSE agent hardware; do cp -R "$source/$part" "$copy/"; done
"$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --upgrade "$copy[voice]" ||
    fail "pip could not install the program (see above); is the network up, is the disk full?"
ln -sfn "$home/venv/bin/callpoint" /usr/local/bin/callpoint

say "config in $etc"
install -d -m 750 -o root -g callpoint "$etc"
install -d -m 700 -o root -g root "$etc/credentials"
install -d -m 750 -o root -g callpoint "$etc/profiles.d"
first=no
if [ ! -e "$etc/callpoint.toml" ]; then
    first=yes
    install -m 640 -o root -g callpoint "$source/config/callpoint.toml" "$etc/callpoint.toml"
fi

say "service"
install -D -m 644 "$here/callpoint.service" "$units/callpoint.service"
mkdir -p "$units/callpoint.service.d"
{
    echo "# Written by make install: one line for each file in $etc/credentials."
    echo "[Service]"
    for secret in "$etc"/credentials/*; do
        [ ! -f "$secret" ] || echo "LoadCredential=$(basename "$secret"):$secret"
    done
} >"$units/callpoint.service.d/credentials.conf"
systemctl daemon-reload
systemctl --quiet enable callpoint.service
systemctl try-restart callpoint.service || fail "the service does not start; see: journalctl -u callpoint -n 50"

[ "$first" = yes ] || { say "up to date; watch it with: systemctl status callpoint"; exit 0; }
cat <<END

Callpoint is installed. What is left to do:

  1. Say what to call:       sudo nano $etc/callpoint.toml
  2. Give it the secret that the config names as { credential = "telnyx-token" }, without it showing on the screen:
                             sudo sh -c 'umask 077; stty -echo; head -n 1 > $etc/credentials/telnyx-token; stty echo'
     and make it known:      sudo make install
  3. Check the config:       sudo callpoint check --no-secrets
  4. Start:                  sudo systemctl start callpoint
  5. See how it is doing:    systemctl status callpoint      journalctl -u callpoint -f

To use the callpoint command without sudo:  sudo usermod -aG callpoint \$USER   (then log in again)
END
