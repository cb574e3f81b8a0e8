#!/bin/bash
# Builds the virtual machine of `make hil`: Debian 12 with its stock kernel, that kernel's own gpio-sim compiled beside it
# (Debian leaves it out), and the Python packages of pyproject.toml. Everything comes from the Debian archive and PyPI.
#
#     build_image.sh FOLDER     leaves FOLDER/{vmlinuz,initrd.img,rootfs.ext4}
#
# Needs root (debootstrap, device nodes) and python 3.11, the guest's own version, as $PYTHON. About 2 GB, 2 minutes.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
OUT=${1:?a folder for the image}
PYTHON=${PYTHON:?the python 3.11 whose pip fetches the guest\'s packages}
W=$OUT.work
mkdir -p "$OUT" "$W"
cd "$W"
step() { printf '  %4d s  %s\n' "$SECONDS" "$*"; }

"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "the guest is Debian 12, so its packages must be fetched by Python 3.11: make hil PYTHON=/path/of/python3.11" >&2
  exit 1
}
KERNEL=$(apt-cache depends linux-image-amd64 | awk '/Depends/ { print $2; exit }')
VERSION=${KERNEL#linux-image-}
# Where apt gets its packages from on this machine, be it a mirror.
MIRROR=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u | grep -v security | head -1)
DEPENDENCIES=$("$PYTHON" - "$HERE/../../pyproject.toml" <<'PY'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
extras = [each for name in ("voice",) for each in project["optional-dependencies"].get(name, [])]
print("\n".join([*project["dependencies"], *extras, "lgpio", "pytest", "pytest-asyncio", "pytest-timeout"]))
PY
)

fetch() {  # a Debian package, unpacked into a folder
  (apt-get download -q "$1" >/dev/null 2>&1 && dpkg -x "$1"_*.deb "$2" && rm "$1"_*.deb)
}
fetch "$KERNEL" kernel
step "kernel $VERSION"

# gpio-sim: a header whose pins a test can pull, and read. One call in it is not exported to modules; its exported twin
# does the same.
SOURCE=linux-source-${VERSION%%.*}.$(echo "$VERSION" | cut -d. -f2)
fetch "$SOURCE" source
mkdir gpio-sim
tar -C gpio-sim --strip-components=1 -xJf "source/usr/src/$SOURCE.tar.xz" \
  "$SOURCE"/drivers/gpio/{gpio-sim.c,gpiolib.h,gpiolib-cdev.h} "$SOURCE/kernel/irq/irq_sim.c"
mv gpio-sim/drivers/gpio/* gpio-sim/kernel/irq/* gpio-sim/
sed -i 's/handle_simple_irq(irq_to_desc(\(.*\)));/generic_handle_irq_safe(\1);/' gpio-sim/irq_sim.c
printf 'obj-m += callpoint-gpio-sim.o\ncallpoint-gpio-sim-y := gpio-sim.o irq_sim.o\nccflags-y += -DCONFIG_IRQ_SIM=1\n' \
  > gpio-sim/Makefile
make -s -C "/lib/modules/$VERSION/build" M="$PWD/gpio-sim" modules 2>/dev/null
step "gpio-sim"

mmdebstrap --quiet --variant=minbase --mode=root --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(tr -s ' \n' ',,' < "$HERE/packages.txt" | sed 's/,$//')" bookworm rootfs "$MIRROR" 2>/dev/null
step "Debian"

depmod -b kernel "$VERSION"
with_dependencies() {
  for module in "$@"; do modprobe -d "$PWD/kernel" -S "$VERSION" -D "$module" 2>/dev/null || true; done |
    awk '/^insmod/ { print $2 }' | awk '!seen[$0]++'
}
for file in $(with_dependencies virtio_blk virtio_pci virtio_rng ext4 9p 9pnet_virtio snd-aloop snd-dummy snd-hrtimer configfs)
do
  install -D -m644 "$file" "rootfs/usr/lib/modules/$VERSION/${file#"$PWD/kernel/lib/modules/$VERSION/"}"
done
cp kernel/lib/modules/"$VERSION"/modules.{order,builtin,builtin.modinfo} "rootfs/usr/lib/modules/$VERSION/"
install -D -m644 gpio-sim/callpoint-gpio-sim.ko "rootfs/usr/lib/modules/$VERSION/extra/gpio-sim.ko"
strip -g "rootfs/usr/lib/modules/$VERSION/extra/gpio-sim.ko"
depmod -b rootfs "$VERSION"
step "modules"

mkdir -p rootfs/opt/site
printf '%s\n' "$DEPENDENCIES" > requirements.txt
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --use-pep517 \
  --target rootfs/opt/site --requirement requirements.txt 2>/dev/null
echo /opt/site > rootfs/usr/lib/python3/dist-packages/site.pth
echo /src > rootfs/usr/lib/python3/dist-packages/src.pth
step "Python packages"

install -m644 "$HERE/job.service" rootfs/etc/systemd/system/job.service
mkdir -p rootfs/job rootfs/src rootfs/etc/systemd/system/graphical.target.wants
ln -sf ../job.service rootfs/etc/systemd/system/graphical.target.wants/job.service
ln -sf /lib/systemd/system/graphical.target rootfs/etc/systemd/system/default.target
cat > rootfs/etc/fstab <<'FSTAB'
/dev/vda / ext4 rw,noatime 0 0
job /job 9p trans=virtio,version=9p2000.L,msize=262144,cache=none 0 0
src /src 9p trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro 0 0
tmpfs /tmp tmpfs mode=1777 0 0
FSTAB
echo callpoint > rootfs/etc/hostname
printf '127.0.0.1 localhost callpoint\n' > rootfs/etc/hosts
printf 'snd-aloop\nsnd-dummy\nconfigfs\ngpio-sim\n9pnet_virtio\n' > rootfs/etc/modules-load.d/callpoint.conf
# Loopback is the card of the calls, Second another one with a clock of its own.
printf '%s\n' 'options snd-aloop enable=1,1 index=0,1 id=Loopback,Second pcm_substreams=4,4' \
  'options snd-dummy index=2 id=Dummy' > rootfs/etc/modprobe.d/callpoint.conf
for unit in e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer fstrim.timer dpkg-db-backup.timer \
  e2scrub_reap.service mosquitto.service serial-getty@ttyS0.service getty@tty1.service systemd-timesyncd.service \
  alsa-restore.service alsa-state.service; do
  ln -sf /dev/null "rootfs/etc/systemd/system/$unit"
done
# Without an id systemd would take this for a machine's first boot, which is longer.
echo 0123456789abcdef0123456789abcdef > rootfs/etc/machine-id
: > rootfs/etc/resolv.conf
echo 'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"' > rootfs/etc/udev/rules.d/60-gpio.rules
chroot rootfs groupadd -r gpio
chroot rootfs python3 -m compileall -q /opt/site /usr/lib/python3.11 >/dev/null 2>&1 || true
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -m0 -d rootfs "$OUT/rootfs.ext4" 1G
step "root file system"

mkdir -p initrd/{bin,dev,proc,sys,root,m}
cp /bin/busybox initrd/bin/
for file in $(with_dependencies virtio_pci virtio_blk crc32c_generic ext4); do
  cp "$file" initrd/m/
  echo "/m/$(basename "$file")" >> initrd/order
done
install -m755 "$HERE/initrd_init.sh" initrd/init
(cd initrd && find . | cpio -o -H newc --quiet -R 0:0) > "$OUT/initrd.img"
cp "kernel/boot/vmlinuz-$VERSION" "$OUT/vmlinuz"
cd /
rm -rf "$W"
step "done"
