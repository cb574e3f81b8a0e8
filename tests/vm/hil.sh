#!/bin/sh
# `make hil`: the tests of tests/vm/guest in a virtual machine with a real kernel's sound cards, GPIO pins and systemd.
#
#     hil.sh [pytest arguments]
#
# The machine is built once and kept in $HIL_CACHE under the hash of what it is made of. Its clock is its own: qemu counts
# instructions (-icount) and skips idle time, so a busy host makes it slower and never late. Everything that has to do with
# time therefore runs inside. $HIL_CLOCK=real gives it the host's clock instead.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${HIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callpoint-hil}
RESULT=$ROOT/build/hil
TIMEOUT_S=${HIL_TIMEOUT_S:-1500}

for tool in qemu-system-x86_64 mmdebstrap busybox cpio; do
  command -v $tool >/dev/null || { echo "make hil needs $tool: see APT_HIL in the Makefile" >&2; exit 1; }
done
kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends/ { print $2; exit }')
key=$({ echo "$kernel"; cat "$HERE/build_image.sh" "$HERE/packages.txt" "$HERE/job.service" "$HERE/initrd_init.sh"
        sed -n '/^dependencies/,/^]/p; /^voice/p' "$ROOT/pyproject.toml"; } | sha256sum | cut -c1-16)
image=$CACHE/$key
if [ ! -e "$image/vmlinuz" ]; then
  [ "$(id -u)" = 0 ] || { echo "make hil builds its machine as root the first time" >&2; exit 1; }
  echo "building the virtual machine: about two minutes, once"
  rm -rf "$CACHE"
  sh "$ROOT/systemd/packages.sh" "linux-headers-${kernel#linux-image-}"
  bash "$HERE/build_image.sh" "$image"
fi

rm -rf "$RESULT"
mkdir -p "$RESULT"
{ printf 'exec sh /src/tests/vm/job.sh'
  for each; do printf " '%s'" "$(printf %s "$each" | sed "s/'/'\\\\''/g")"; done
  echo; } > "$RESULT/job.sh"
case ${HIL_CLOCK:-fast} in
  fast) set -- -accel tcg,thread=single -smp 1 -icount shift=1,sleep=off ;;
  virtual) set -- -accel tcg,thread=single -smp 1 -icount shift=1,sleep=on ;;
  real) set -- -accel tcg,thread=multi -smp 2 ;;
  *) echo "HIL_CLOCK is fast, virtual or real" >&2; exit 1 ;;
esac
code=0
timeout -k 5 "$TIMEOUT_S" qemu-system-x86_64 "$@" -cpu max -M q35 -m 1024 -nodefaults -no-user-config -display none -no-reboot \
  -kernel "$image/vmlinuz" -initrd "$image/initrd.img" \
  -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check tsc=reliable systemd.show_status=false" \
  -serial "file:$RESULT/console.txt" \
  -drive "file=$image/rootfs.ext4,if=virtio,format=raw,snapshot=on,cache=unsafe,aio=threads" \
  -virtfs "local,path=$RESULT,mount_tag=job,security_model=none,multidevs=remap" \
  -virtfs "local,path=$ROOT,mount_tag=src,security_model=none,readonly=on,multidevs=remap" \
  -device virtio-rng-pci </dev/null || code=$?
cat "$RESULT/log.txt" 2>/dev/null || true
[ -s "$RESULT/status" ] || { echo "the machine gave no result (qemu ended with $code); its console said:" >&2; tail -20 "$RESULT/console.txt" >&2; exit 1; }
read -r how status < "$RESULT/status"
[ "$how $status" = "exited 0" ]
