"""How control and media process talk: one AF_UNIX SOCK_SEQPACKET pair, one message a packet.

Every message is a JSON object with a `type`; the descriptor of a call's socket rides along by SCM_RIGHTS. Datagrams
of that socket that are not RTP go back as they came: `b"D"`, a length byte, the sender's address as JSON, the bytes.

    to media      open {setup, muted, shut, deaf, tone, resumed} · connect {transport, key_id} + fd · mute {muted}
                  shut {shut} · deaf {deaf} · digits {digits} · key {digit} · tone {name} · source {address}
                  stop_prompt · prompt {to, loop, start_frame} + fd · close · ping {id} · prepare {setup}
                  self_test {setup, level_dbfs} · end_self_test
    from media    ready · opened {rate_hz, period_frames} · failed {part, text} · connected {error} · stats {stats}
                  dtmf {digit, source} · closed {stats} · pong {id} · note {text} · self_tested {figures}
"""

from __future__ import annotations

import binascii
import json
from typing import Any

from agent.media.messages import AudioSetup, MediaStats, OpusSetup, RtpSetup, SrtpKeys, TransportSetup

MAX_MESSAGE_BYTES = 16384
DATAGRAM = b"D"[0]  # never the first byte of a JSON object

Message = dict[str, Any]


def pack(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def unpack(data: bytes) -> Message:
    message: Message = json.loads(data)
    return message


def pack_datagram(data: bytes, address: tuple[str, int] | None) -> bytes:
    head = json.dumps(address).encode()
    return bytes((DATAGRAM, len(head))) + head + data


def unpack_datagram(message: bytes) -> tuple[bytes, tuple[str, int] | None]:
    at = 2 + message[1]
    address = json.loads(message[2:at])
    return message[at:], (address[0], address[1]) if address else None


def transport_fields(setup: TransportSetup) -> Message:
    keys = {
        "profile": setup.keys.profile,
        "tx": binascii.b2a_base64(setup.keys.tx).decode(),
        "rx": binascii.b2a_base64(setup.keys.rx).decode(),
    }
    rtp, opus = vars(setup.rtp), vars(setup.opus)
    return {"remote": setup.remote, "keys": keys, "rtp": rtp, "opus": opus, "sources": setup.sources}


def transport_of(fields: Message) -> TransportSetup:
    keys, remote = fields["keys"], fields["remote"]
    return TransportSetup(
        remote=(remote[0], remote[1]) if remote else None,
        keys=SrtpKeys(keys["profile"], binascii.a2b_base64(keys["tx"]), binascii.a2b_base64(keys["rx"])),
        rtp=RtpSetup(**fields["rtp"]),
        opus=OpusSetup(**fields["opus"]),
        sources=tuple((host, port) for host, port in fields["sources"]),
    )


def audio_of(fields: Message) -> AudioSetup:
    return AudioSetup(**fields)


def stats_of(fields: Message) -> MediaStats:
    return MediaStats(**fields)
