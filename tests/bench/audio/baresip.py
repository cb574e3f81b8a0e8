"""baresip (Debian's 1.0.0) as a peer: the folder of settings that makes its call like ours."""

from __future__ import annotations

from pathlib import Path

MODULES = Path("/usr/lib/baresip/modules")

# As a user would set a device up who wants it lean: no console, no tones, one channel, the jitter buffer as delivered.
CONFIG = """\
sip_listen 127.0.0.1:{port}
call_local_timeout 120
call_max_calls 1
audio_path /nonexistent
audio_player alsa,speaker
audio_source alsa,mic
audio_alert alsa,null
ausrc_srate 48000
auplay_srate 48000
ausrc_channels 1
auplay_channels 1
audio_txmode poll
audio_level no
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_tos 184
rtcp_mux yes
jitter_buffer_delay 5-10
rtp_stats no
net_interface 127.0.0.1
module_path {modules}
module opus.so
module alsa.so
module dtls_srtp.so
module ice.so
module_app account.so
module_app contact.so
module_app menu.so
opus_bitrate 32000
opus_stereo no
opus_sprop_stereo no
opus_cbr no
opus_inbandfec yes
opus_dtx no
opus_complexity 5
opus_application voip
opus_packet_loss 5
"""

ACCOUNT = (
    "<sip:b@127.0.0.1:{port}>;regint=0;answermode=auto;mediaenc=dtls_srtp;medianat=ice;"
    "audio_codecs=opus/48000/1;ptime={ptime_ms}\n"
)


def write_folder(folder: Path, port: int, ptime_ms: int) -> None:
    """The folder for `baresip -f`, listening for SIP on 127.0.0.1 at `port`."""
    folder.mkdir()
    (folder / "config").write_text(CONFIG.format(port=port, modules=MODULES))
    (folder / "accounts").write_text(ACCOUNT.format(port=port, ptime_ms=ptime_ms))
    (folder / "contacts").write_text("")
