#!/bin/busybox sh
# From the kernel to Debian: virtio and ext4 are modules in Debian's kernel.
B=/bin/busybox
$B mount -t devtmpfs dev /dev
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
while read -r module; do $B insmod "$module"; done < /order
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do $B sleep 0.05; tries=$((tries + 1)); done
$B mount -t ext4 -o rw,noatime /dev/vda /root
$B mount --move /dev /root/dev
$B umount /proc /sys
exec $B switch_root /root /sbin/init
