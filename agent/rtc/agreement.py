"""What two descriptions agree on (RFC 3264): codec, payload types, directions, packet time, bit rate. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agent.rtc import sdp
from agent.rtc.aiortc_seams import ExportedKeys
from agent.rtc.codecs import CODECS, Codec, offered, offered_events
from agent.rtc.events import Handover, PeerSettings
from agent.rtc.wishes import PACKETS_MS

logger = logging.getLogger(__name__)

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
    others: tuple[Codec, ...] = ()  # the far end may change to them (RFC 3264 7); with the numbers that it uses then

    def answered_codecs(self) -> tuple[Codec, ...]:
        """What an answer lists: the codec, the others that both speak, and telephone-event beside the first."""
        return (self.codec, *self.others, *([] if self.event is None else [self.event]))

    def handover(self, fd: int, address: tuple[str, int] | None, keys: ExportedKeys, ssrc: int, cname: str) -> Handover:
        """All that the media process needs."""
        codec, settings = self.codec, self.settings
        wishes = self.remote.wishes(codec)
        if wishes.absurd:
            logger.info("ignoring what the far end says of its sound: %s make no sense", ", ".join(wishes.absurd))
        opus = codec.name == "opus"
        ptime_ms = wishes.packet_ms(settings.ptime_ms)
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
            fec=settings.fec and wishes.fec,
            max_bitrate_bps=max_bitrate(wishes.max_bitrate_bps, limits_kbps, ptime_ms),
            # Opus has to be taken in any length (RFC 7587 4.2); of others only what the far end says is safe.
            max_ptime_ms=wishes.longest_ms(PACKETS_MS[-1]) if opus or wishes.max_ptime_ms else ptime_ms,
            max_playback_rate_hz=wishes.max_playback_rate_hz,
            dtx=wishes.use_dtx,
            cbr=wishes.cbr,
            feedback=self.remote.profile.endswith("F"),
            codec=codec.name,
            other_codecs={one.name: one.payload_type for one in self.others},
            dtmf_payload_type=None if self.event is None else self.event.payload_type,
            remote_dtmf_payload_type=self.our_event_payload_type,
            sends=self.direction in _SENDING,
            receives=self.direction in _RECEIVING,
            stereo=settings.stereo and opus and wishes.stereo,
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
    codec = remote.common([one.name for one in ours if one.name in CODECS])[0]
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
        tuple(one for one in ours if one.name != codec.name and remote.speaks(one)),
    )


def agree_on_offer(settings: PeerSettings, remote: sdp.RemoteAudio) -> Agreement:
    """After the far end's offer; our answer takes over its payload types. Raises `SdpError`.

    The order of the codecs is ours, as that of `setCodecPreferences` is in a browser's answer: a gateway that offers
    G.711 first shall not take Opus from whoever prefers it.
    """
    codec, *others = sorted(remote.common(settings.codecs), key=lambda one: settings.codecs.index(one.name))
    event = remote.telephone_event(codec) if settings.dtmf else None
    our_event = None if event is None else event.payload_type
    direction = _direction(settings, remote)
    return Agreement(settings, remote, codec, codec.payload_type, event, our_event, direction, tuple(others))


def _direction(settings: PeerSettings, remote: sdp.RemoteAudio) -> str:
    direction = sdp.MIRRORED[remote.direction]
    return _RECEIVED.get(direction, direction) if settings.receive_only else direction


def max_bitrate(asked_bps: int | None, limits_kbps: list[int], ptime_ms: int) -> int | None:
    """RFC 7587 6.1 `maxaveragebitrate` and what `b=AS` leaves for the codec, kept within what Opus can do.

    Longer packets later on have fewer headers and stay within it.
    """
    overhead_bps = _OVERHEAD_BYTES * 8 * 1000 // ptime_ms
    limits_bps = [limit * 1000 - overhead_bps for limit in limits_kbps]
    if asked_bps is not None:
        limits_bps.append(asked_bps)
    return min(max(min(limits_bps), 6000), 510_000) if limits_bps else None
