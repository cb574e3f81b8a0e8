"""What two descriptions agree on (RFC 3264): codec, payload types, directions, packet time, bit rate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.rtc import sdp
from agent.rtc.aiortc_seams import ExportedKeys
from agent.rtc.codecs import CODECS, Codec, offered, offered_events
from agent.rtc.events import Handover, PeerSettings

_VALID_PTIMES_MS = (60, 40, 20, 10)
_OVERHEAD_BYTES = 20 + 8 + 12 + 16  # IPv4, UDP, RTP and the longest SRTP tag: b=AS counts them (RFC 8866 5.8)
_RECEIVED = {"sendrecv": "recvonly", "sendonly": "inactive"}  # what is left of a direction without a microphone
_SENDING = {"sendrecv", "sendonly"}
_RECEIVING = {"sendrecv", "recvonly"}


@dataclass(frozen=True)
class Agreement:
    """`codec` is the far end's, with its parameters; `event` its telephone-event. The `our_` ones are those under
    which it sends. `direction` is ours."""

    settings: PeerSettings
    remote: sdp.RemoteAudio
    codec: Codec
    our_payload_type: int
    event: Codec | None
    our_event_payload_type: int | None
    direction: str

    def answered_codecs(self) -> tuple[Codec, ...]:
        """What an answer lists: the codec, and telephone-event beside it."""
        return (self.codec,) if self.event is None else (self.codec, self.event)

    def handover(self, fd: int, address: tuple[str, int] | None, keys: ExportedKeys, ssrc: int, cname: str) -> Handover:
        """All that the media process needs."""
        codec, settings = self.codec, self.settings
        ptime_ms = agreed_ptime(settings.ptime_ms, self.remote.longest_packet_ms(codec))
        limits_kbps = [limit for limit in (settings.bandwidth_kbps, self.remote.bandwidth_kbps) if limit]
        return Handover(
            fd=fd,
            remote=address,
            srtp_profile=keys.profile,
            tx_key=keys.tx,
            rx_key=keys.rx,
            ssrc=ssrc,
            cname=cname,
            payload_type=codec.payload_type,
            remote_payload_type=self.our_payload_type,
            ptime_ms=ptime_ms,
            fec=settings.fec and codec.parameters.get("useinbandfec") == "1",
            max_bitrate_bps=max_bitrate(codec, limits_kbps, ptime_ms),
            codec=codec.name,
            dtmf_payload_type=None if self.event is None else self.event.payload_type,
            remote_dtmf_payload_type=self.our_event_payload_type,
            sends=self.direction in _SENDING,
            receives=self.direction in _RECEIVING,
            stereo=settings.stereo and codec.name == "opus" and codec.parameters.get("stereo") == "1",
        )


def offered_codecs(settings: PeerSettings) -> tuple[Codec, ...]:
    """What an offer lists."""
    codecs = offered(settings.codecs)
    return (*codecs, *(offered_events(codecs) if settings.dtmf else ()))


def offered_direction(settings: PeerSettings) -> str:
    """The direction of an offer."""
    return "recvonly" if settings.receive_only else "sendrecv"


def agree_on_answer(settings: PeerSettings, remote: sdp.RemoteAudio, ours: Sequence[Codec]) -> Agreement:
    """After our offer of the codecs `ours` and the far end's answer. Raises `SdpError` when none is in common."""
    codec = remote.choose([one.name for one in ours if one.name in CODECS])
    event = remote.telephone_event(codec) if settings.dtmf else None
    events = [one for one in ours if event is not None and one.name == event.name]
    our_event = next((one for one in events if one.clock_rate_hz == codec.clock_rate_hz), None)
    return Agreement(
        settings,
        remote,
        codec,
        next(one.payload_type for one in ours if one.name == codec.name),
        event if our_event is not None else None,
        None if our_event is None else our_event.payload_type,
        _direction(settings, remote),
    )


def agree_on_offer(settings: PeerSettings, remote: sdp.RemoteAudio) -> Agreement:
    """After the far end's offer; our answer takes over its payload types. Raises `SdpError`."""
    codec = remote.choose(settings.codecs)
    event = remote.telephone_event(codec) if settings.dtmf else None
    our_event = None if event is None else event.payload_type
    return Agreement(settings, remote, codec, codec.payload_type, event, our_event, _direction(settings, remote))


def _direction(settings: PeerSettings, remote: sdp.RemoteAudio) -> str:
    direction = sdp.MIRRORED[remote.direction]
    return _RECEIVED.get(direction, direction) if settings.receive_only else direction


def agreed_ptime(ours_ms: int, maximum_ms: int | None) -> int:
    """The longest packet time that codecs have and neither side forbids."""
    limit = min(ours_ms, maximum_ms or ours_ms)
    return next((ptime for ptime in _VALID_PTIMES_MS if ptime <= limit), 10)


def max_bitrate(codec: Codec, limits_kbps: list[int], ptime_ms: int) -> int | None:
    """RFC 7587 6.1 `maxaveragebitrate` and what `b=AS` leaves for the codec, kept within what Opus can do."""
    overhead_bps = _OVERHEAD_BYTES * 8 * 1000 // ptime_ms
    limits_bps = [limit * 1000 - overhead_bps for limit in limits_kbps]
    text = codec.parameters.get("maxaveragebitrate", "")
    if text.isascii() and text.isdigit() and len(text) < 8:
        limits_bps.append(int(text))
    return min(max(min(limits_bps), 6000), 510_000) if limits_bps else None
