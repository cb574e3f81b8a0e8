"""Boards as the kernel shows them: trees of /proc, /sys and /boot below a folder, as recorded on Raspberry Pi OS."""

from __future__ import annotations

from pathlib import Path

PI3 = "Raspberry Pi 3 Model B Plus Rev 1.3"
PI4 = "Raspberry Pi 4 Model B Rev 1.4"
PI5 = "Raspberry Pi 5 Model B Rev 1.0"
ZERO2 = "Raspberry Pi Zero 2 W Rev 1.0"

HDMI = (
    " 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0",
    "00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1",
    "",
)
JACK = (
    " 1 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones",
    "01-00: bcm2835 Headphones : bcm2835 Headphones : playback 8",
    "",
)
JABRA = (
    " 2 [USB            ]: USB-Audio - Jabra SPEAK 510 USB",
    "02-00: USB Audio : USB Audio : playback 1 : capture 1",
    "0b0e:0422",
)
WEBCAM = (
    " 3 [U0x46d0x825    ]: USB-Audio - USB Device 0x46d:0x825",
    "03-00: USB Audio : USB Audio : capture 1",
    "046d:0825",
)
VOICEHAT = (
    " 2 [sndrpigooglevoi]: RPi-simple - snd_rpi_googlevoicehat_soundcard",
    "02-00: Google voiceHAT SoundCard HiFi voicehat-codec-0 : ... : playback 1 : capture 1",
    "",
)
SEEED = (
    " 2 [seeed2micvoicec]: seeed2micvoicec - seeed-2mic-voicecard",
    "02-00: bcm2835-i2s-wm8960-hifi wm8960-hifi-0 : ... : playback 1 : capture 1",
    "",
)


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def board(
    root: Path, model: str, *cards: tuple[str, str, str], config_txt: str = "", hat: tuple[str, str] | None = None
) -> Path:
    """A healthy board that has been up for a while."""
    write(root, "proc/device-tree/model", f"{model}\0")
    write(root, "proc/sys/kernel/osrelease", "6.12.34+rpt-rpi-v8\n")
    write(root, "proc/asound/cards", "".join(f"{line}\n                      at usb-1.2\n" for line, _, _ in cards))
    write(root, "proc/asound/pcm", "".join(f"{pcm}\n" for _, pcm, _ in cards))
    for line, _, usb_id in cards:
        if usb_id:
            write(root, f"proc/asound/card{line.split()[0]}/usbid", f"{usb_id}\n")
    write(root, "boot/firmware/config.txt", config_txt)
    if hat is not None:
        write(root, "proc/device-tree/hat/vendor", f"{hat[0]}\0")
        write(root, "proc/device-tree/hat/product", f"{hat[1]}\0")
    write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    write(root, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    write(root, "run/systemd/timesync/synchronized", "")
    write(root, "etc/systemd/system/callpoint.service", "[Service]\n")
    write(root, "etc/group", "root:x:0:\naudio:x:29:\ngpio:x:997:\ncallpoint:x:995:\n")
    write(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\ncallpoint:x:996:995::/:/usr/sbin/nologin\n")
    (root / "var/log/journal").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    return root
