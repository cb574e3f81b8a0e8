"""From the microphone to the network: frames for the codec, RTP around them, SRTP around that."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.media import rtp
from agent.media.codecs.agreed import make_encoder
from agent.media.codecs.codec import format_of
from agent.media.codecs.opus import UNSENT_BYTES
from agent.media.encoder_control import EncoderControl, EncoderLimits, EncoderSettings
from agent.media.levels import LevelMeter
from agent.media.telephone_event import EventSender

if TYPE_CHECKING:
    from agent.media.counters import Counters, Totals
    from agent.media.messages import OpusSetup, RtpSetup


@dataclass(frozen=True, slots=True)
class TxPosition:
    """Index (ROC * 65536 + sequence number) and RTP timestamp of the next packet."""

    index: int
    timestamp: int


def random_position() -> TxPosition:
    """Where a new stream starts: random (RFC 3550 5.1), in the lower half so that a lost first packet cannot
    make the receiver guess the rollover counter wrong (RFC 3711 3.3.1)."""
    return TxPosition(int.from_bytes(os.urandom(2)) & 0x7FFF, int.from_bytes(os.urandom(4)))


def encoder_limits(codec: str, opus: OpusSetup) -> EncoderLimits:
    """What the codec and its setup leave the control to choose from. Raises CodecError."""
    kind = format_of(codec)
    fec = kind.fec and opus.fec
    best = EncoderSettings(kind.bitrate_bps or opus.bitrate_bps, opus.packet_loss_percent if fec else 0, opus.ptime_ms)
    return EncoderLimits(best, kind.bitrate_bps or opus.min_bitrate_bps, opus.max_ptime_ms, fec=fec)


class Sender:
    """One outgoing stream. `capture` takes the microphone's periods and sends a packet with each full frame.

    The microphone has `channels`, interleaved. Digits go out in place of audio (RFC 4733); `on_digit(digit)` is called
    as each begins. `level` meters what is sent, of two channels the first. `send` gets the protected packet.
    `settings` are the encoder's at present. Raises CodecError when the setup is impossible.
    """

    def __init__(
        self,
        setup: RtpSetup,
        *,
        opus: OpusSetup,
        rate_hz: int,
        position: TxPosition,
        protect: Callable[[bytes], bytes],
        send: Callable[[bytes], None],
        counters: Counters,
        totals: Totals,
        muted: bool,
        on_digit: Callable[[str], None],
        channels: int = 1,
    ) -> None:
        self.muted = muted
        self.level = LevelMeter()
        self.index, self.timestamp = position.index, position.timestamp
        self.packets = self.octets = 0  # with this SSRC: what an SR counts
        self._ssrc, self._payload_type = setup.ssrc, setup.payload_type
        self._protect, self._send = protect, send
        self._counters, self._totals = counters, totals
        self._receive_only = setup.receive_only
        self._clock_hz = format_of(setup.codec).clock_rate_hz
        self._event_type = setup.dtmf_payload_type
        self._events = EventSender(opus.ptime_ms, setup.dtmf_clock_hz or self._clock_hz)
        self._on_digit = on_digit
        self._marker = rtp.MARKER  # a talk spurt begins
        self._dtx = opus.dtx
        limits = encoder_limits(setup.codec, opus)
        self.settings = limits.best
        self._control = EncoderControl(limits) if opus.adapt else None
        self._encoder = make_encoder(setup.codec, opus, rate_hz, headroom=rtp.HEADER_BYTES, channels=channels)
        self._channels = channels
        self._packet = self._encoder.packet
        self._encode = self._encoder.encode
        self._filled = 0
        self._next_ptime_ms: int | None = None  # from the next packet border on
        self._set_ptime(opus.ptime_ms)

    def capture(self, samples: bytes, now_s: float) -> None:
        """One period of the microphone. Muted, silence is sent in its place, so the far end hears no cut line."""
        if self._receive_only or not samples:
            return  # there is no microphone, or nobody to hear it
        end = self._filled + len(samples)
        if end > self._frame_bytes:  # period and frame do not divide each other
            part = self._frame_bytes - self._filled
            self.capture(samples[:part], now_s)
            self.capture(samples[part:], now_s)
            return
        self._frame[self._filled : end] = bytes(len(samples)) if self.muted else samples
        if end < self._frame_bytes:
            self._filled = end
        else:
            self._filled = 0
            self._send_frame(now_s)
            if self._next_ptime_ms is not None and not self._events.busy:
                self._set_ptime(self._next_ptime_ms)

    def take_report(self, now_s: float, loss: float, round_trip_s: float | None, jitter_s: float) -> None:
        """What the far end reports of this stream, for the encoder to act on."""
        if self._control is not None:
            settings = self._control.report(now_s, loss, round_trip_s, jitter_s)
            if settings is not None:
                self.apply(settings)

    def apply(self, settings: EncoderSettings) -> None:
        """Change the running encoder; another frame length counts from the next packet on. Raises CodecError."""
        present, self.settings = self.settings, settings
        if settings.bitrate_bps != present.bitrate_bps:
            self._encoder.set_bitrate(settings.bitrate_bps)
        if settings.packet_loss_percent != present.packet_loss_percent:
            self._encoder.set_packet_loss(settings.packet_loss_percent)
        if settings.ptime_ms != present.ptime_ms:
            self._next_ptime_ms = settings.ptime_ms

    @property
    def session_bps(self) -> int:
        """What the stream takes of the network, headers included."""
        return self.settings.network_bps

    def timestamp_at_capture(self) -> int:
        """The RTP timestamp of the sample that is captured now."""
        return (self.timestamp + self._filled * self._step // self._frame_bytes) & 0xFFFFFFFF

    def send_digits(self, digits: str) -> None:
        """Queue `digits`. Ignored when telephone-event was not agreed on: who asks has been told already."""
        if self._event_type is not None:
            self._events.add(digits)

    def rekey(self, protect: Callable[[bytes], bytes], index: int) -> None:
        """Other keys for the same stream, which goes on with `index`: no sound is lost, and no digit."""
        self._protect = protect
        self.index = index

    def close(self) -> None:
        self._encoder.close()

    def _set_ptime(self, ptime_ms: int) -> None:
        """Only between two packets: the timestamps go on where the last one's sound ended."""
        self._next_ptime_ms = None
        self._encoder.set_ptime(ptime_ms)
        self._events.set_frame(ptime_ms)
        self._step = self._clock_hz * ptime_ms // 1000
        self._frame = self._encoder.samples
        self._frame_bytes = self._encoder.frame_bytes
        self._metered = self._frame.cast("h")[:: self._channels]

    def _send_frame(self, now_s: float) -> None:
        if self._events.busy and self._send_event(now_s):
            return
        length = self._encode()
        self.level.frame(self._metered)
        timestamp = self.timestamp
        self.timestamp = (timestamp + self._step) & 0xFFFFFFFF
        if self._dtx and length <= UNSENT_BYTES:
            self._marker = rtp.MARKER  # the packet after a pause begins a talk spurt (RFC 3551 4.1)
            return
        second = self._payload_type | self._marker
        self._marker = 0
        self._send_packet(second, timestamp, length, now_s)

    def _send_event(self, now_s: float) -> bool:
        """A digit's packet in place of this frame's audio, if it is its turn."""
        digit = self._events.digit
        event = self._events.next_packet()
        if event is None or self._event_type is None:
            return False
        if event.begins:
            self._totals.dtmf_sent += 1
            self._on_digit(digit)
        began = (self.timestamp - event.behind_ms * self._clock_hz // 1000) & 0xFFFFFFFF
        self.timestamp = (self.timestamp + self._step) & 0xFFFFFFFF
        length = len(event.payload)
        self._packet[rtp.HEADER_BYTES : rtp.HEADER_BYTES + length] = event.payload
        self._marker = rtp.MARKER  # the audio after it is a new talk spurt
        self._send_packet(self._event_type | (rtp.MARKER if event.marker else 0), began, length, now_s)
        return True

    def _send_packet(self, second: int, timestamp: int, length: int, now_s: float) -> None:
        """Protect and send what stands in `_packet`: `length` bytes of payload behind room for the header."""
        index = self.index
        self.index = index + 1
        packet = self._packet
        rtp.pack_header_into(packet, 0, rtp.VERSION_BITS, second, index & 0xFFFF, timestamp, self._ssrc)
        protected = self._protect(bytes(packet[: rtp.HEADER_BYTES + length]))
        # Before the send: a process killed in between skips an index, which is harmless, and never reuses one.
        self._counters.packet_leaves(index + 1, self.timestamp, int(now_s * 1e9))
        self.packets += 1
        self.octets += length
        self._totals.packets_sent += 1
        self._totals.bytes_sent += length
        self._send(protected)
