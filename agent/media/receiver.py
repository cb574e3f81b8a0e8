"""From the network to the speaker: SRTP off, jitter buffer, the codec's decoder with FEC and concealment.

The clock is the speaker's. What comes faster or slower than that, or has become more or less delay than the network
asks for, is taken out of the decoded sound or put in, one pitch period at a time (`agent.media.stretch`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.media import rtp
from agent.media.codecs.codec import format_of
from agent.media.codecs.continuation import bridge, faded_in
from agent.media.codecs.opus import CLOCK_RATE_HZ, SAMPLE_BYTES, CodecError
from agent.media.coding import Coding
from agent.media.jitter import CONCEAL, FEC, PACKET, SILENCE, JitterBuffer
from agent.media.levels import LevelMeter
from agent.media.reception import Reception
from agent.media.srtp import SrtpError, came_before
from agent.media.stretch import accelerate, expand
from agent.media.telephone_event import EventReceiver

if TYPE_CHECKING:
    from agent.media.counters import Counters, Totals
    from agent.media.dtmf_detector import DtmfDetector
    from agent.media.messages import MediaStats, RtpSetup

HURRY_FRAMES = 2880  # 60 ms too much: to hear the far end sooner is worth joins in speech
JOIN_S = 0.1  # between two joins in speech
BRIDGE_S = 0.01  # of a gap is filled without the decoder; longer, and it knows better
MAX_SOURCES = 8  # rollover counters kept of SSRCs that a gateway alternates between


def _as_it_is(packet: bytes) -> bytes:
    """SRTP is off already."""
    return packet


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
        channels: int = 1,
    ) -> None:
        self.level = LevelMeter()
        self.reception: Reception | None = None  # of the present SSRC
        self.ssrc: int | None = None
        self.last_packet_s: float | None = None
        self._unprotect = unprotect
        self._counters, self._totals = counters, totals
        self._event_type = setup.remote_dtmf_payload_type
        clock_hz = format_of(setup.codec).clock_rate_hz
        self._events = EventReceiver(max(1, clock_hz // (setup.dtmf_clock_hz or clock_hz)))
        self._on_dtmf = on_dtmf
        self._detector = detector
        self._indexes: dict[int, int] = {}
        # Of another source: its SSRC, how many packets had been taken by then, its first packet, when that came.
        self._newcomer: tuple[int, int, bytes, float] | None = None
        self._rekeyed = False  # and no other source was switched to since
        self._rate_hz, self._channels = rate_hz, channels
        self._scale = CLOCK_RATE_HZ // rate_hz  # RTP clock to the device's rate
        self._codings = {
            payload_type: Coding(codec, rate_hz, channels) for codec, payload_type in setup.other_codecs.items()
        }
        self._coming = self._coding = Coding(setup.codec, rate_hz, channels)
        self._codings[setup.remote_payload_type] = self._coding
        self._clock_offset = 0  # from the present codec's RTP clock to the first one's, in 48 kHz frames
        self._last_index = self._last_timestamp = 0  # of the newest packet with audio
        self.jitter = JitterBuffer(
            setup.jitter_min_ms * CLOCK_RATE_HZ // 1000,
            setup.jitter_max_ms * CLOCK_RATE_HZ // 1000,
            period_frames * self._scale,
            self._coding,
        )
        self._use(self._coding)
        self._at = self._end = 0  # what of the decoder's output is still to be played, in bytes
        self._frame_bytes = channels * SAMPLE_BYTES
        self._period_bytes = period_frames * self._frame_bytes
        self._next_join_s = 0.0
        self._tail: array[int] | None = None  # what would follow, where the last sound was a bridge over a gap
        self._bridging = False
        self._delay_s = 0.0  # between network and speaker queue, before the last `count`
        self._lost_before = totals.packets_lost
        self._restarts = self.jitter.ring.restarts

    def resume(self, ssrc: int, index: int) -> None:
        """Take the rollover counter over that a former process left."""
        self._indexes[ssrc] = index

    def packet(self, data: bytes, arrival_s: float, unprotect: Callable[[bytes], bytes] | None = None) -> None:
        """One datagram that looks like RTP, and when it came (monotonic). `unprotect` takes the place of the
        present keys', for what is still on the way under the former ones."""
        try:
            packet = (unprotect or self._unprotect)(data)
        except (SrtpError, ValueError) as error:  # ValueError: longer than pylibsrtp's buffer
            if came_before(error):
                self._totals.packets_duplicated += 1
            else:
                self._totals.auth_failures += 1
            return
        _, second, sequence, ticks, ssrc = rtp.unpack_header(packet)
        reception = self.reception
        if ssrc != self.ssrc or reception is None:
            reception = self._another_source(packet, arrival_s, former=unprotect is not None)
            if reception is None:
                return
        index = self._extend(ssrc, sequence)
        coding = self._codings.get(second & 0x7F)
        timestamp = None if coding is None else self._timestamp(coding, index, ticks)
        reception.packet(index, timestamp, arrival_s)
        totals = self._totals
        totals.packets_received += 1
        self._counters.packet_came(ssrc, reception.highest)
        self.last_packet_s = arrival_s
        try:
            payload = rtp.payload_of(packet)
        except rtp.RtpError:
            return
        totals.bytes_received += len(payload)
        if timestamp is not None and payload:
            self.jitter.put(sequence, timestamp, payload, arrival_s, coding)
            return
        if timestamp is None:
            timestamp = ticks * self._coming.ticks & 0xFFFFFFFF
        self.jitter.put_no_audio(sequence, timestamp, arrival_s)
        if second & 0x7F == self._event_type:
            digit = self._events.packet(ssrc, ticks, payload, marker=bool(second & rtp.MARKER))
            if digit is not None:
                totals.dtmf_received += 1
                self._on_dtmf(digit, "rfc4733")

    def rekey(self, unprotect: Callable[[bytes], bytes]) -> None:
        """Other keys for the same far end: what waits is played, the decoder goes on, and the rollovers begin anew."""
        self._unprotect = unprotect
        self._rekeyed = True
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

    def play(self, due_s: float) -> bytes:
        """One period for the speaker, int16, decoding as much as that takes. It was due at `due_s` (monotonic), with
        the speaker's periods evenly apart."""
        if self._at == self._end:
            self._decode(due_s, 0)
            period = self.buffered()
            if period is not None:
                return period
        return self._gather(due_s)

    @property
    def waiting_frames(self) -> int:
        """Audio between network and speaker queue, in 48 kHz frames."""
        return self.jitter.waiting_frames + (self._end - self._at) // self._frame_bytes * self._scale

    def count(self) -> None:
        """Bring the totals up to date with what the jitter buffer and the reception counted."""
        jitter, totals = self.jitter, self._totals
        ring = jitter.ring
        totals.packets_late += ring.late
        totals.fec_frames += jitter.rebuilt
        totals.packets_dropped += ring.dropped
        totals.packets_duplicated += ring.duplicates
        totals.stream_restarts += ring.restarts - self._restarts
        self._restarts = ring.restarts
        ring.late = ring.dropped = ring.duplicates = jitter.rebuilt = 0
        packets, jitter.concealed_frames = divmod(jitter.concealed_frames, jitter.packet_frames)
        totals.concealed_frames += packets
        lost = self.reception.lost if self.reception else 0
        totals.packets_lost = max(totals.packets_lost, self._lost_before + lost)

        totals.jitter_buffer_emitted_frames += jitter.emitted_frames
        totals.jitter_buffer_delay_ms += max(0, round(1000 * jitter.held_s))
        if jitter.emitted_frames:
            self._delay_s = max(0.0, jitter.held_s / jitter.emitted_frames)
        jitter.emitted_frames, jitter.held_s = 0, 0.0

    def describe(self, stats: MediaStats) -> None:
        """Fill in what the jitter buffer does now; the totals are brought up to date by `count`."""
        stats.jitter_buffer_ms = round(self.waiting_frames * 1000 / CLOCK_RATE_HZ, 1)
        stats.jitter_target_ms = round(self.jitter.target_frames * 1000 / CLOCK_RATE_HZ, 1)
        stats.playout_delay_ms = round(1000 * self._delay_s, 1)
        if self.reception is not None:
            stats.jitter_ms = round(self.reception.jitter_ms, 2)

    def close(self) -> None:
        for coding in self._codings.values():
            coding.close()

    def _gather(self, due_s: float) -> bytes:
        """A period that the decoder's present output does not hold all of."""
        period = bytes(self._samples[self._at : self._end])
        while lacking := self._period_bytes - len(period):
            self._decode(due_s, len(period) // self._frame_bytes * self._scale)
            end = min(self._end, self._at + lacking)
            period += self._samples[self._at : end]
            self._at = end
        return period

    def _decode(self, due_s: float, queued_frames: int) -> None:
        """Put what is heard next, behind `queued_frames` (48 kHz), into the decoder's output."""
        jitter, scale = self.jitter, self._scale
        action, payload, frames = jitter.pull(due_s, queued_frames)
        if jitter.coding is not self._coding:
            self._use(jitter.coding)
        decoder, skip = self._decoder, 0
        try:
            if action is PACKET:
                done = decoder.decode(payload)
                if jitter.surplus_frames:
                    done = self._fit(done, jitter.surplus_frames, due_s)
            elif action is FEC:
                done = decoder.decode_fec(payload, self._coding.fec_frames(payload) // scale)
                skip = frames // scale
            elif action is CONCEAL:
                done = self._bridged(frames // scale) or decoder.conceal(frames // scale)
            else:
                done = self._be_silent(frames // scale)
        except CodecError:  # authenticated, and yet not the codec's: the far end's fault, heard as a lost packet
            done = decoder.conceal((self._coding.packet_frames(payload) or jitter.packet_frames) // scale)
        if self._tail and action is not SILENCE and not self._bridging:
            faded_in(self._tail, self._shorts[skip * self._channels : done * self._channels])
            self._tail = None
        self._bridging = False
        self._at, self._end = skip * self._frame_bytes, done * self._frame_bytes
        heard = self._shorts[skip:done] if self._channels == 1 else self._shorts[2 * skip : 2 * done : 2]
        self.level.frame(heard)
        if self._detector is not None:
            self._detect(self._detector, heard)

    def _bridged(self, frames: int) -> int:
        """Go on for `frames` at the voice's pitch, before anything is known to be lost; 0 where that cannot be."""
        if self._tail or not self._coding.bridges or frames > BRIDGE_S * self._rate_hz:
            return 0
        history = array("h", self._shorts[: self._end // SAMPLE_BYTES].tobytes())
        bridged = bridge(history, frames, self._rate_hz, self._channels)
        if bridged is None:
            return 0
        sound, self._tail = bridged
        self._shorts[: len(sound)] = memoryview(sound)
        self._bridging = True
        return frames

    def _fit(self, done: int, surplus_frames: int, due_s: float) -> int:
        """Make the decoded sound shorter by up to `surplus_frames` (48 kHz), or longer if that is negative; returns
        its frames. In a pause anything goes; speech is only made shorter, by a pitch period at a time, and only where
        the delay is long.
        """
        shorts = self._shorts[: done * self._channels]
        quiet = self.level.is_quiet(shorts)
        if not quiet:
            if surplus_frames < HURRY_FRAMES or due_s < self._next_join_s:
                return done
            self._next_join_s = due_s + JOIN_S
        change = accelerate if surplus_frames > 0 else expand
        block = array("h", shorts.tobytes())
        fitted = change(block, self._channels, self._rate_hz, abs(surplus_frames) // self._scale, quiet=quiet)
        if fitted is None or len(fitted) > len(self._shorts):
            return done
        self._shorts[: len(fitted)] = memoryview(fitted)
        frames = len(fitted) // self._channels
        if frames > done:
            self._totals.inserted_frames += (frames - done) * self._scale
        else:
            self._totals.removed_frames += (done - frames) * self._scale
        return frames

    def _use(self, coding: Coding) -> None:
        """Decode with this codec from now on. Raises CodecError."""
        self._coding, self._decoder = coding, coding.decoder
        self._samples = self._decoder.samples
        self._shorts = self._samples.cast("h")

    def _timestamp(self, coding: Coding, index: int, ticks: int) -> int:
        """A packet's timestamp on the one clock of 48 kHz on which the jitter buffer counts.

        Times a whole factor, a 32 bit timestamp still wraps at 32 bits. Where the far end changes to a codec with
        another RTP clock, nothing tells how the two clocks stand to each other (RFC 7160), so the stream is taken
        to go on without a gap.
        """
        timestamp = ticks * coding.ticks + self._clock_offset & 0xFFFFFFFF
        if coding is not self._coming:
            expected = self._last_timestamp + (index - self._last_index) * self.jitter.packet_frames & 0xFFFFFFFF
            if index < self._last_index:
                return expected  # of before the change, and overtaken by it
            if coding.ticks != self._coming.ticks:
                self._clock_offset += rtp.timestamp_delta(expected, timestamp)
                timestamp = expected
            self._coming = coding
        if index >= self._last_index:
            self._last_index, self._last_timestamp = index, timestamp
        return timestamp

    def _detect(self, detector: DtmfDetector, heard: memoryview) -> None:
        digit = detector.samples(heard)
        # A far end with events may leave the tones in its audio as well: a key that is told twice is two keys.
        if digit is not None and not self._events.heard:
            self._totals.dtmf_received += 1
            self._on_dtmf(digit, "inband")

    def _be_silent(self, frames: int) -> int:
        self._samples[: frames * self._frame_bytes] = bytes(frames * self._frame_bytes)
        return frames

    def _extend(self, ssrc: int, sequence: int) -> int:
        """The sequence number with its rollovers, as SRTP counts them (RFC 3711 3.3.1): it has authenticated."""
        highest = self._indexes.get(ssrc)
        if highest is None:
            if len(self._indexes) >= MAX_SOURCES:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[ssrc] = sequence
            return sequence
        index = highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000  # `rtp.sequence_delta` without its call
        if index > highest:
            self._indexes[ssrc] = index
        return index

    def _another_source(self, packet: bytes, arrival_s: float, *, former: bool) -> Reception | None:
        """What counts the packets of this one's source, which is not listened to yet; None: nor is it now.

        Another SSRC is believed at its second packet in a row (as RFC 3550 A.1 has it for sequence numbers), and is
        then heard from its first one: a stray packet, or two sources at once, must not tear the voice to pieces.
        """
        _, _, sequence, _, ssrc = rtp.unpack_header(packet)
        if former and self.ssrc not in {None, ssrc}:
            return None  # the far end speaks with another source by now
        if self.reception is None or (self._rekeyed and not former):
            # Nothing came yet, or nothing under these keys: what the former path still brings may go on for a while.
            self._rekeyed = former and self._rekeyed
            return self._switch_to(ssrc, self._extend(ssrc, sequence))
        newcomer, taken = self._newcomer, self._totals.packets_received
        if newcomer is None or newcomer[:2] != (ssrc, taken):
            self._newcomer = ssrc, taken, packet, arrival_s
            return None
        _, _, first, first_arrival_s = newcomer
        self._switch_to(ssrc, self._extend(ssrc, rtp.unpack_header(first)[2]))
        self.packet(first, first_arrival_s, _as_it_is)
        return self.reception

    def _switch_to(self, ssrc: int, index: int) -> Reception:
        """The far end speaks with another SSRC now, as a gateway does when it bridges a call anew."""
        if self.reception is not None:
            self._lost_before += self.reception.lost
        if self.ssrc not in {None, ssrc}:
            self.jitter.restart()
        self.ssrc = ssrc
        self.reception = Reception(index, self._coming.ticks)
        self._last_index = index
        return self.reception
