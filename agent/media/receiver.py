"""From the network to the speaker: SRTP off, jitter buffer, the codec's decoder with FEC and concealment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.media import rtp
from agent.media.codec import format_of
from agent.media.codecs import make_decoder
from agent.media.jitter import CONCEAL, FEC, PACKET, JitterBuffer
from agent.media.levels import LevelMeter
from agent.media.opus import CLOCK_RATE_HZ, SAMPLE_BYTES, CodecError
from agent.media.reception import Reception
from agent.media.srtp import SrtpError
from agent.media.telephone_event import EventReceiver

if TYPE_CHECKING:
    from agent.media.counters import Counters, Totals
    from agent.media.dtmf_detector import DtmfDetector
    from agent.media.messages import RtpSetup

MAX_SOURCES = 8  # rollover counters kept of SSRCs that a gateway alternates between


class Receiver:
    """One incoming stream. `packet` takes datagrams, `play` gives the speaker's periods.

    `on_dtmf(digit, source)` is called for each key that the far end presses; `detector` looks for them in the sound.
    Only what SRTP authenticated counts; anything else raises a counter and changes nothing.
    """

    def __init__(
        self,
        setup: RtpSetup,
        *,
        rate_hz: int,
        period_frames: int,
        unprotect: Callable[[bytes], bytes],
        counters: Counters,
        totals: Totals,
        on_dtmf: Callable[[str, str], None],
        detector: DtmfDetector | None = None,
    ) -> None:
        self.level = LevelMeter()
        self.reception: Reception | None = None  # of the present SSRC
        self.ssrc: int | None = None
        self.last_packet_s: float | None = None
        self._unprotect = unprotect
        self._counters, self._totals = counters, totals
        self._payload_type = setup.remote_payload_type
        self._event_type = setup.remote_dtmf_payload_type
        clock_hz = format_of(setup.codec).clock_rate_hz
        self._events = EventReceiver(max(1, clock_hz // (setup.dtmf_clock_hz or clock_hz)))
        self._on_dtmf = on_dtmf
        self._detector = detector
        self._indexes: dict[int, int] = {}
        self._scale = CLOCK_RATE_HZ // rate_hz  # RTP clock to the device's rate
        # Times a whole factor, a 32 bit timestamp still wraps at 32 bits: behind here all clocks are 48 kHz.
        codec = format_of(setup.codec)
        self._ticks = codec.ticks
        self._packet_frames = codec.packet_frames
        self.jitter = JitterBuffer(
            setup.jitter_target_ms * CLOCK_RATE_HZ // 1000,
            period_frames * self._scale,
            packet_frames=self._packet_frames,
            fec=codec.fec,
        )
        self._decoder = make_decoder(setup.codec, rate_hz)
        self._samples = self._decoder.samples
        self._shorts = self._samples.cast("h")
        self._at = self._end = 0  # what of the decoder's output is still to be played, in bytes
        self._period_bytes = period_frames * SAMPLE_BYTES
        self._lost_before = totals.packets_lost

    def resume(self, ssrc: int, index: int) -> None:
        """Take the rollover counter over that a former process left."""
        self._indexes[ssrc] = index

    def packet(self, data: bytes, arrival_s: float, unprotect: Callable[[bytes], bytes] | None = None) -> None:
        """One datagram that looks like RTP, and when it came (monotonic). `unprotect` takes the place of the
        present keys', for what is still on the way under the former ones."""
        try:
            packet = (unprotect or self._unprotect)(data)
        except (SrtpError, ValueError):  # ValueError: longer than pylibsrtp's buffer
            self._totals.auth_failures += 1
            return
        _, second, sequence, ticks, ssrc = rtp.unpack_header(packet)
        if unprotect is not None and self.ssrc not in {None, ssrc}:
            return  # the far end speaks with another source by now
        index = self._extend(ssrc, sequence)
        reception = self.reception
        if reception is None or ssrc != self.ssrc:
            reception = self._switch_to(ssrc, index)
        timestamp = ticks * self._ticks & 0xFFFFFFFF
        is_audio = second & 0x7F == self._payload_type
        reception.packet(index, timestamp if is_audio else None, arrival_s)
        totals = self._totals
        totals.packets_received += 1
        self._counters.packet_came(ssrc, reception.highest)
        self.last_packet_s = arrival_s
        try:
            payload = rtp.payload_of(packet)
        except rtp.RtpError:
            return
        totals.bytes_received += len(payload)
        if is_audio:
            self.jitter.put(sequence, timestamp, payload, arrival_s)
            return
        self.jitter.put_no_audio(sequence, timestamp, arrival_s)
        if second & 0x7F == self._event_type:
            digit = self._events.packet(ssrc, ticks, payload, marker=bool(second & rtp.MARKER))
            if digit is not None:
                totals.dtmf_received += 1
                self._on_dtmf(digit, "rfc4733")

    def rekey(self, unprotect: Callable[[bytes], bytes]) -> None:
        """Other keys for the same far end: what waits is played, the decoder goes on, and the rollovers begin anew."""
        self._unprotect = unprotect
        self._indexes.clear()
        if self.reception is not None:
            self._lost_before += self.reception.lost
            self.reception = None

    def buffered(self) -> bytes | None:
        """One period for the speaker if what was decoded last still holds one, else None: then `play`."""
        start = self._at
        end = start + self._period_bytes
        if end > self._end:
            return None
        self._at = end
        return bytes(self._samples[start:end])

    def play(self, now_s: float) -> bytes:
        """One period for the speaker, int16 mono, decoding as much as that takes."""
        if self._at == self._end:
            self._decode(now_s)
            period = self.buffered()
            if period is not None:
                return period
        return self._gather(now_s)

    @property
    def waiting_frames(self) -> int:
        """Audio between network and speaker queue, in 48 kHz frames."""
        return self.jitter.waiting_frames + (self._end - self._at) // SAMPLE_BYTES * self._scale

    def count(self) -> None:
        """Bring the totals up to date with what the jitter buffer and the reception counted."""
        jitter, totals = self.jitter, self._totals
        totals.packets_late += jitter.late
        totals.fec_frames += jitter.rebuilt
        totals.packets_dropped += jitter.dropped
        jitter.late = jitter.rebuilt = jitter.dropped = 0
        packets, jitter.concealed_frames = divmod(jitter.concealed_frames, jitter.packet_frames)
        totals.concealed_frames += packets
        lost = self.reception.lost if self.reception else 0
        totals.packets_lost = max(totals.packets_lost, self._lost_before + lost)

    def close(self) -> None:
        self._decoder.close()

    def _gather(self, now_s: float) -> bytes:
        """A period that the decoder's present output does not hold all of."""
        period = bytearray(self._samples[self._at : self._end])
        self._at = self._end
        while len(period) < self._period_bytes:
            self._decode(now_s)
            end = min(self._end, self._at + self._period_bytes - len(period))
            period += self._samples[self._at : end]
            self._at = end
        return bytes(period)

    def _decode(self, now_s: float) -> None:
        """Put what is heard next into the decoder's output."""
        action, payload, frames = self.jitter.pull(now_s)
        skip = 0
        try:
            if action is PACKET:
                done = self._decoder.decode(payload)
            elif action is FEC:
                done = self._decoder.decode_fec(payload, self._packet_frames(payload) // self._scale)
                skip = frames // self._scale
            elif action is CONCEAL:
                done = self._decoder.conceal(frames // self._scale)
            else:
                done = self._be_silent(frames // self._scale)
        except CodecError:  # authenticated, and yet not the codec's: the far end's fault, heard as a lost packet
            done = self._decoder.conceal((self._packet_frames(payload) or self.jitter.packet_frames) // self._scale)
        self._at, self._end = skip * SAMPLE_BYTES, done * SAMPLE_BYTES
        heard = self._shorts[skip:done]
        self.level.frame(heard)
        if self._detector is not None:
            self._detect(self._detector, heard)

    def _detect(self, detector: DtmfDetector, heard: memoryview) -> None:
        digit = detector.samples(heard)
        # A far end with events may leave the tones in its audio as well: a key that is told twice is two keys.
        if digit is not None and not self._events.heard:
            self._totals.dtmf_received += 1
            self._on_dtmf(digit, "inband")

    def _be_silent(self, frames: int) -> int:
        self._samples[: frames * SAMPLE_BYTES] = bytes(frames * SAMPLE_BYTES)
        return frames

    def _extend(self, ssrc: int, sequence: int) -> int:
        """The sequence number with its rollovers, as SRTP counts them (RFC 3711 3.3.1): it has authenticated."""
        highest = self._indexes.get(ssrc)
        if highest is None:
            if len(self._indexes) >= MAX_SOURCES:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[ssrc] = sequence
            return sequence
        index = highest + rtp.sequence_delta(sequence, highest & 0xFFFF)
        if index > highest:
            self._indexes[ssrc] = index
        return index

    def _switch_to(self, ssrc: int, index: int) -> Reception:
        """The far end speaks with another SSRC now, as a gateway does when it bridges a call anew."""
        if self.reception is not None:
            self._lost_before += self.reception.lost
        if self.ssrc not in {None, ssrc}:
            self.jitter.restart()
        self.ssrc = ssrc
        self.reception = Reception(index, self._ticks)
        return self.reception
