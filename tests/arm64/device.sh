#!/bin/sh
# What happens in the chroot, which stands for the device. Run by check.sh in namespaces of its own.
#
#     device.sh CHROOT WORK SOURCE RESULT
set -eu
CHROOT=$1 WORK=$2 SOURCE=$3 RESULT=$4
device=$WORK/root

# What is installed goes to an upper layer that check.sh removes with WORK.
mkdir -p "$device" "$WORK/upper" "$WORK/overlay"
mount -t overlay overlay -o "lowerdir=$CHROOT,upperdir=$WORK/upper,workdir=$WORK/overlay" "$device"
mkdir -p "$device/src" "$device/wheels" "$device/dev/shm"
mount --bind "$SOURCE" "$device/src"
mount -o remount,bind,ro "$device/src"
mount --bind "$WORK/wheels" "$device/wheels"
mount -t proc proc "$device/proc"
mount -t tmpfs tmpfs "$device/dev/shm"

on_device() {
  chroot "$device" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
    sh -euc "$1" </dev/null
}

# As systemd/install.sh does it, but from the files that resolve.py has fetched.
on_device '
  python3 -m venv /opt/callpoint/venv
  mkdir /tmp/copy
  cd /src
  cp -R pyproject.toml README.md LICENSE agent hardware /tmp/copy/
  /opt/callpoint/venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --no-compile \
    --root-user-action=ignore --no-index --find-links /wheels "/tmp/copy[voice]" pytest pytest-asyncio pytest-timeout hypothesis
'
# Elsewhere than /src, so that what runs is what was installed.
on_device 'cd /tmp && /opt/callpoint/venv/bin/python /src/tests/arm64/installed.py' > "$RESULT.part"
on_device 'cd /tmp && /opt/callpoint/venv/bin/callpoint check --no-secrets --config /src/config/callpoint.toml' >&2
# Not those of sockets: qemu passes on only some socket options, and the kernel is this machine's anyway.
on_device 'cd /src && /opt/callpoint/venv/bin/python -m pytest -q -p no:cacheprovider --timeout=0 \
    tests/media/codecs/test_opus.py tests/media/test_jitter.py tests/media/test_rtp.py tests/media/test_srtp.py \
    tests/media/test_stretch.py tests/media/voice/test_processor.py::test_the_echo_of_what_was_played_vanishes' >&2
mv "$RESULT.part" "$RESULT"
