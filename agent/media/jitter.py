"""The jitter buffer: packets in, and at each moment the one decision what is to be heard next.

```
 put() ──▶ ring of 64 slots by sequence number ──▶ pull() ──▶ PACKET   decode this
                                                          ──▶ FEC      rebuild what is missing before this packet
                                                          ──▶ CONCEAL  nothing there: continue the sound
                                                          ──▶ SILENCE  between talk spurts, or nothing yet
```
Pure: no clock, no codec, no allocation beyond the packets. The timeline is the sender's RTP timestamps. A packet is
due `target_frames` after it came, rounded down to a tick, so an undisturbed stream waits for 1..2 ticks at a target
of 2 ticks. Gaps are concealed tick by tick, not packet by packet: what is missing at its due time often shows up,
or can be rebuilt from its successor, one tick later, and then only the rest of the gap is filled. A gap that has been
concealed is never played again, so a lost packet adds no delay; a late one may, and `_trim` takes that back. Where
packets keep getting lost, one tick of delay is spent to have all of each rebuilt packet instead of its second half.

All lengths and timestamps are in frames of 48 kHz, Opus' RTP clock (RFC 7587), whatever the device's or the codec's
rate: the receiver scales what comes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from agent.media.opus import CLOCK_RATE_HZ, packet_frames
from agent.media.rtp import sequence_delta, timestamp_delta

RING_PACKETS = 64  # 1.28 s at 20 ms; a power of two, so that it divides the sequence numbers
MAX_MISORDER = 100  # RFC 3550 A.1: further behind, and the stream may have started again
MAX_EXCESS_S = 0.2  # delay above the target that nobody should sit through, even for a second
SPAN_TO_CHECK = 4  # packets; fewer than that are no absurd delay, even of 60 ms each
TRIM_WINDOW_S = 1.0  # for so long every packet must have come early before delay is taken back
LOSSY = 2.0  # gaps lately, above which FEC is given the time to come whole
LOSS_FADES = 0.9  # a second: "lately" is the last ten
STARVED_FRAMES = 28800  # 600 ms: a sender with DTX refreshes its comfort noise every 400 ms (RFC 6716 2.1.9)
GRAIN_FRAMES = 120  # 2.5 ms: libopus conceals in multiples of it
MAX_CHUNK_FRAMES = 480  # half of the usual packet: what is concealed beyond the gap would be delay
DEFAULT_PACKET_FRAMES = 960  # 20 ms, until the stream shows its own
_NO_AUDIO = b"no audio"  # this very object marks the place of a packet that holds none; no payload is the same object


class Action(Enum):
    """What `pull` decides. See `JitterBuffer.pull` for what comes with it."""

    SILENCE = auto()
    PACKET = auto()
    FEC = auto()
    CONCEAL = auto()


# An enum's member costs a function call at each look-up in Python 3.11; a global does not.
SILENCE, PACKET, FEC, CONCEAL = Action


class JitterBuffer:
    """One stream of packets. `packet_frames` gives a payload's length, 0 when malformed; `fec` tells whether a
    packet can rebuild the one before it. `tick_frames` is the device's period: the time between two looks, and what is
    concealed at once (in multiples of 2.5 ms, 10 ms at most).

    Counters: `late` packets came after their place was played, `duplicates` twice; `concealed_frames` (48 kHz
    frames, not packets) were missing when due; `rebuilt` packets came out of FEC, `dropped` were left out to take
    back delay, `restarts` of the stream.
    """

    def __init__(
        self,
        target_frames: int,
        tick_frames: int,
        *,
        packet_frames: Callable[[bytes], int] = packet_frames,
        fec: bool = True,
    ) -> None:
        self._frames_of, self._fec = packet_frames, fec
        self.target_frames = target_frames
        self.packet_frames = DEFAULT_PACKET_FRAMES
        self.late = self.duplicates = self.concealed_frames = self.rebuilt = self.dropped = self.restarts = 0
        self._tick = tick_frames
        self._chunk = min(MAX_CHUNK_FRAMES, -(-tick_frames // GRAIN_FRAMES) * GRAIN_FRAMES)
        self._payloads = [b""] * RING_PACKETS  # b"": nothing there
        self._timestamps = [0] * RING_PACKETS
        self._arrivals = [0.0] * RING_PACKETS
        self._count = 0
        self._begun = False  # whether `_next` means something
        self._next = 0  # sequence number that is to be played next
        self._next_timestamp = 0
        self._span = 0  # how many sequence numbers from `_next` to the highest one that is there
        self._playing = False  # False between talk spurts: wait until a packet is due
        self._fresh = True  # nothing of this stream was played yet
        self._gap = 0  # frames concealed since the last packet that was played
        self._silenced = False  # in place of audio something else came last: there is nothing to conceal
        self._bad_next: int | None = None
        self._lost_lately = 0.0
        self._least_slack_s = 0.0
        self._window_ends_s = 0.0

    @property
    def waiting_frames(self) -> int:
        """Audio that is here and not played yet."""
        return self._count * self.packet_frames

    @property
    def has_next(self) -> bool:
        """Whether the packet that is to be played next is here."""
        payload = self._payloads[self._next % RING_PACKETS]
        return self._playing and bool(payload) and payload is not _NO_AUDIO

    def put(self, sequence: int, timestamp: int, payload: bytes, arrival_s: float) -> None:
        """One packet as it came: 16 bit sequence number, 32 bit timestamp, the codec's payload, monotonic seconds."""
        if not payload:
            return
        if not self._begun:
            self._begun, self._next = True, sequence
        delta = sequence_delta(sequence, self._next)
        if delta < 0 and self._fresh and not self._playing and self._span - delta <= RING_PACKETS:
            self._next, self._span, delta = sequence, self._span - delta, 0  # reordered before the start
        elif delta < 0 or delta >= RING_PACKETS:
            if -MAX_MISORDER <= delta < 0:
                self.late += 1
                return
            if (self._count or delta < 0) and sequence != self._bad_next:
                self._bad_next = (sequence + 1) & 0xFFFF  # RFC 3550 A.1: believe it when a second one follows
                return
            self.restart()
            self._begun, self._next, delta = True, sequence, 0
        slot = sequence % RING_PACKETS
        if self._payloads[slot]:
            self.duplicates += 1
            return
        self._payloads[slot] = payload
        self._timestamps[slot] = timestamp
        self._arrivals[slot] = arrival_s
        self._count += 1
        self._span = max(self._span, delta + 1)

    def put_no_audio(self, sequence: int, timestamp: int, arrival_s: float) -> None:
        """A packet of the stream that is not for the decoder (an event, comfort noise): its place is no loss."""
        self.put(sequence, timestamp, _NO_AUDIO, arrival_s)

    def restart(self) -> None:
        """Forget the stream: the next packet begins another one (a new SSRC, or a far end that started again)."""
        self._drop(self._span)
        self.restarts += 1
        self._begun, self._bad_next = False, None
        self._playing, self._fresh, self._gap, self._silenced = False, True, 0, False

    def pull(self, now_s: float) -> tuple[Action, bytes, int]:
        """Decide what is heard next: the one place where timing is decided.

        PACKET: the packet to decode, 0. FEC: the packet whose in-band FEC rebuilds the one before it, and how many
        frames at the start of that to leave out, as they were concealed already. CONCEAL: b"" and the frames to
        continue for. SILENCE: b"" and the frames of it.
        """
        if self._payloads[self._next % RING_PACKETS] is _NO_AUDIO:
            self._pass_no_audio(0)
        if not self._playing and not self._start(now_s):
            return self._wait()
        if now_s >= self._window_ends_s or self._span > SPAN_TO_CHECK:
            self._trim(now_s)
        ahead = self._first_ahead()
        if ahead is None:
            return self._wait()
        slot = (self._next + ahead) % RING_PACKETS
        if self._payloads[slot] is _NO_AUDIO:  # what is missing before it was its beginning, or a packet too late
            self._pass_no_audio(ahead)
            return self._wait()
        missing = timestamp_delta(self._timestamps[slot], self._next_timestamp)
        if missing > ahead * self.packet_frames or missing < 0:  # the sender paused, or set its clock anew
            self.concealed_frames += min(self._gap, ahead * self.packet_frames)
            self._playing = False
            return self.pull(now_s) if self._start(now_s) else self._wait()
        rest = missing - self._gap
        if ahead and rest > 0:
            return self._fill(slot, ahead, rest)
        return self._play(slot, ahead, now_s)

    def _play(self, slot: int, ahead: int, now_s: float) -> tuple[Action, bytes, int]:
        payload = self._take(slot, ahead + 1)
        frames = self._frames_of(payload)
        if frames:
            self.packet_frames = frames
        self._next_timestamp = (self._timestamps[slot] + frames) & 0xFFFFFFFF
        self.concealed_frames += self._gap
        self._gap = 0
        self._fresh = self._silenced = False
        self._least_slack_s = min(self._least_slack_s, now_s - self._arrivals[slot])
        return PACKET, payload, 0

    def _fill(self, slot: int, ahead: int, rest: int) -> tuple[Action, bytes, int]:
        """Before the packet in `slot`, `rest` frames are still to be heard; its FEC holds the last of them."""
        payload = self._payloads[slot]
        frames = self._frames_of(payload) or self.packet_frames
        if self._fec:
            chunk = min(self._chunk, (rest - frames) // GRAIN_FRAMES * GRAIN_FRAMES)
        else:
            chunk = min(self._chunk, rest)
        if chunk > 0:
            self._gap += chunk
            return CONCEAL, b"", chunk
        self._skip(ahead)
        self._next_timestamp = self._timestamps[slot]
        self.concealed_frames += self._gap
        self._gap = 0
        self.rebuilt += 1
        self._lost_lately += 1.0
        skip = max(0, frames - rest)
        return FEC, payload, 0 if skip <= self._tick and self._lost_lately > LOSSY else skip

    def _wait(self) -> tuple[Action, bytes, int]:
        """Nothing is due. Whether this is loss, lateness or a pause shows with the next packet."""
        if self._silenced:
            return SILENCE, b"", self._chunk
        self._gap += self._chunk
        if self._fresh or self._gap > STARVED_FRAMES:
            self._playing = False
            return SILENCE, b"", self._chunk
        return CONCEAL, b"", self._chunk

    def _start(self, now_s: float) -> bool:
        """Begin a talk spurt with the newest packet that is due; older ones would be delay for all of it."""
        due_s = now_s - (self.target_frames - self._tick) / CLOCK_RATE_HZ
        zero = self._slot_zero()
        first = chosen = None
        for ahead in range(self._span):
            slot = (zero + ahead) % RING_PACKETS
            payload = self._payloads[slot]
            if payload and payload is not _NO_AUDIO and self._arrivals[slot] < due_s:
                first = ahead if first is None else first
                chosen = ahead
        if first is None or chosen is None:
            return False
        missing = timestamp_delta(self._timestamps[(zero + first) % RING_PACKETS], self._next_timestamp)
        if not self._fresh and 0 <= missing <= first * self.packet_frames:
            self.concealed_frames += self._gap  # the network's doing, not a pause of the sender
        self._drop(chosen)
        self._next_timestamp = self._timestamps[self._slot_zero()]
        self._gap = 0
        self._playing = True
        self._open_window(now_s)
        return True

    def _trim(self, now_s: float) -> None:
        """Take delay back: at once when it is absurd, else when every packet of a window came early enough."""
        packet_s = self.packet_frames / CLOCK_RATE_HZ
        target_s = self.target_frames / CLOCK_RATE_HZ
        keep_s = max(target_s - packet_s / 2, 0.0)
        excess_s = self._span * packet_s - target_s - packet_s
        if excess_s > MAX_EXCESS_S:
            self._leave_out(int(excess_s / packet_s), now_s)
        elif now_s >= self._window_ends_s:
            if self._least_slack_s > target_s + packet_s / 2:
                self._leave_out(int((self._least_slack_s - keep_s) / packet_s), now_s)
            self._lost_lately *= LOSS_FADES
            self._open_window(now_s)

    def _leave_out(self, packets: int, now_s: float) -> None:
        packets = min(packets, self._span - 1)
        if packets > 0:
            self._drop(packets)
            first = self._first_ahead()
            if first is not None:
                self._skip(first)
                self._next_timestamp = self._timestamps[self._slot_zero()]
            self._gap = 0
            self._open_window(now_s)

    def _open_window(self, now_s: float) -> None:
        self._window_ends_s = now_s + TRIM_WINDOW_S
        self._least_slack_s = float("inf")

    def _slot_zero(self) -> int:
        return self._next % RING_PACKETS

    def _first_ahead(self) -> int | None:
        zero = self._slot_zero()
        if self._payloads[zero]:
            return 0
        for ahead in range(1, self._span):
            if self._payloads[(zero + ahead) % RING_PACKETS]:
                return ahead
        return None

    def _pass_no_audio(self, ahead: int) -> None:
        """Go behind the packets without audio that begin `ahead`, and behind what is missing before them."""
        if ahead:
            self.concealed_frames += self._gap
        self._gap = 0
        self._silenced = True
        self._skip(ahead)
        while self._payloads[self._slot_zero()] is _NO_AUDIO:
            self._take(self._slot_zero(), 1)

    def _take(self, slot: int, step: int) -> bytes:
        payload = self._payloads[slot]
        self._payloads[slot] = b""
        self._count -= 1
        self._skip(step)
        return payload

    def _skip(self, packets: int) -> None:
        self._next = (self._next + packets) & 0xFFFF
        self._span = max(0, self._span - packets)

    def _drop(self, packets: int) -> None:
        """Forget the next `packets` sequence numbers and what is there of them."""
        zero = self._slot_zero()
        for ahead in range(packets):
            slot = (zero + ahead) % RING_PACKETS
            payload = self._payloads[slot]
            if payload:
                self._payloads[slot] = b""
                self._count -= 1
                self.dropped += payload is not _NO_AUDIO
        if packets:
            self._skip(packets)
