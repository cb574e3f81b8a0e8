"""The jitter buffer: packets in, and at each moment the one decision what is to be heard next.

```
 put() ──▶ ring of 64 slots by sequence number ──▶ pull() ──▶ PACKET   decode this; `surplus_frames` of it may go
   └─────▶ how late packets come ─▶ target                ──▶ FEC      rebuild what is missing before this packet
                                                          ──▶ CONCEAL  nothing there: continue the sound
                                                          ──▶ SILENCE  between talk spurts, or nothing yet
```
Pure: no clock, no codec, no allocation beyond the packets. The timeline is the sender's RTP timestamps. A packet's age
is the time since it could have come at the earliest; it is to be pulled, tick by tick, not before the network's
jitter is over (`agent.media.arrival`), and sound waits for most of a packet's length at the least. Packets that are
older when their turn comes are delay: `surplus_frames` says how much of it may be taken out of the sound. Younger ones
are in danger of coming too late one day: it is negative then, and so much should be put in. Little is corrected, for
every shift of time is heard by those who listen for it: what a late packet brought is kept for a while.

Gaps are concealed tick by tick, not packet by packet: what is missing at its due time often shows up, or can be
rebuilt from its successor, one tick later, and then only the rest of the gap is filled. A gap that has been concealed
is never played again, so a lost packet adds no delay; a late one does, and gives it back. Where packets keep getting
lost and the far end sends FEC, each packet waits for its successor.

All lengths and timestamps are in frames of 48 kHz, Opus' RTP clock (RFC 7587), whatever the device's or the codec's
rate: the receiver scales what comes.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from agent.media.arrival import ArrivalDelays
from agent.media.codecs.opus import CLOCK_RATE_HZ
from agent.media.packet_ring import NO_AUDIO, RING_PACKETS, PacketRing
from agent.media.rtp import timestamp_delta

if TYPE_CHECKING:
    from agent.media.coding import Coding

MAX_EXCESS_FRAMES = 16800  # 0.35 s: more delay than that nobody should sit through; less is taken out by stretching
SPAN_TO_CHECK = 8  # packets; fewer than that are no absurd delay, even of 60 ms each
LOSSY_S = 30.0  # after two losses within this time, packets wait so long for the FEC of their successors
LEAST_WAIT = 0.9  # of a packet: most of a lost one can then be rebuilt, at most phases of the speaker's clock
MAX_FEC_WAIT_FRAMES = 960  # of packets longer than 20 ms the successor is too far away
STARVED_FRAMES = 28800  # 600 ms: a sender with DTX refreshes its comfort noise every 400 ms (RFC 6716 2.1.9)
GRAIN_FRAMES = 120  # 2.5 ms: libopus conceals in multiples of it
MAX_CHUNK_FRAMES = 480  # half of the usual packet: what is concealed beyond the gap would be delay
DEFAULT_PACKET_FRAMES = 960  # 20 ms, until the stream shows its own
CALM_S = 2.0  # after a packet that was late, what delay it brought is kept: there may be more like it,
YOUNG_CALM_S = 0.5  # in a stream's first seconds, when it is rather the setting up that made it late,
LONG_FRAMES = 2880  # unless it is so much: 60 ms


class Action(Enum):
    """What `pull` decides. See `JitterBuffer.pull` for what comes with it."""

    SILENCE = auto()
    PACKET = auto()
    FEC = auto()
    CONCEAL = auto()


# An enum's member costs a function call at each look-up in Python 3.11; a global does not.
SILENCE, PACKET, FEC, CONCEAL = Action


class JitterBuffer:
    """One stream of packets, in the codec `coding` unless `put` says otherwise. `tick_frames` is the device's period:
    the time between two looks, and what is concealed at once (in multiples of 2.5 ms, 10 ms at most). The delay's
    target stays between `least_frames` and `most_frames`.

    After `pull` gave a packet, `coding` is its codec, and `surplus_frames` how many of its frames are too much
    (negative: too few).

    Counters: `concealed_frames` (48 kHz frames, not packets) were missing when due; `rebuilt` packets came out of
    FEC; `held_s` is the sum over all `emitted_frames` of how long each was here (W3C's jitterBufferDelay). For
    `late`, `duplicates`, `dropped` and `restarts` see `PacketRing`.
    """

    def __init__(self, least_frames: int, most_frames: int, tick_frames: int, coding: Coding) -> None:
        self.ring = PacketRing()
        self.coding = coding
        self.packet_frames = DEFAULT_PACKET_FRAMES
        self.surplus_frames = 0
        self.concealed_frames = self.rebuilt = 0
        self.emitted_frames, self.held_s = 0, 0.0
        self._default_coding = coding
        self._tick = tick_frames
        self._tolerance = tick_frames // 2
        self._configured_least = self._least_delay = least_frames
        self.arrivals = ArrivalDelays(0, max(0, most_frames - tick_frames))
        self._chunk = min(MAX_CHUNK_FRAMES, -(-tick_frames // GRAIN_FRAMES) * GRAIN_FRAMES)
        self._restarts = 0  # of the ring, as far as they are known here
        self._next_timestamp = 0
        self._learn_length(DEFAULT_PACKET_FRAMES)
        self._lead = 0  # silence before a spurt's first packet
        self._playing = False  # False between talk spurts: wait until a packet is due
        self._fresh = True  # nothing of this stream was played yet
        self._gap = 0  # frames concealed since the last packet that was played
        self._silenced = False  # in place of audio something else came last: there is nothing to conceal
        self._noted_gap = -1  # sequence number of the gap that was counted last
        self._lost_s = -inf  # when it was
        self._calm_s = 0.0  # until then the last late packet is remembered

    @property
    def target_frames(self) -> int:
        """How old packets are to become, on average, in between the limits."""
        return max(int(self.arrivals.target_frames) + self._tolerance, self._least_delay)

    @property
    def waiting_frames(self) -> int:
        """Audio that is here and not played yet."""
        return self.ring.count * self.packet_frames

    @property
    def has_next(self) -> bool:
        """Whether the packet that is to be played next is here."""
        if not self._playing:
            return False
        payload = self.ring.payloads[self.ring.next % RING_PACKETS]
        return payload is not NO_AUDIO and payload != b""

    def put(
        self, sequence: int, timestamp: int, payload: bytes, arrival_s: float, coding: Coding | None = None
    ) -> None:
        """One packet as it came: 16 bit sequence number, 32 bit timestamp, the codec's payload, monotonic seconds."""
        if not payload:
            return
        ring, may_go_back = self.ring, self._fresh and not self._playing
        coding = coding or self._default_coding
        fits = ring.put(sequence, timestamp, payload, arrival_s, coding, may_go_back=may_go_back)
        if ring.restarts != self._restarts:
            self._begin_anew()
        if fits:
            self.arrivals.packet(timestamp, arrival_s, self.packet_frames)

    def put_no_audio(self, sequence: int, timestamp: int, arrival_s: float) -> None:
        """A packet of the stream that is not for the decoder (an event, comfort noise): its place is no loss."""
        ring, may_go_back = self.ring, self._fresh and not self._playing
        ring.put(sequence, timestamp, NO_AUDIO, arrival_s, None, may_go_back=may_go_back)
        if ring.restarts != self._restarts:
            self._begin_anew()

    def restart(self) -> None:
        """Forget the stream: the next packet begins another one (a new SSRC, or a far end that started again)."""
        self.ring.clear()
        self._begin_anew()

    def pull(self, due_s: float, queued_frames: int = 0) -> tuple[Action, bytes, int]:
        """Decide what is heard next, behind `queued_frames` of decoded sound: the one place where timing is decided.

        `due_s` is when the speaker's period was due (`agent.media.playout_clock`), not when this was called: being
        woken late makes no packet older.

        PACKET: the packet to decode, 0. FEC: the packet whose in-band FEC rebuilds the one before it, and how many
        frames at the start of that to leave out, as they were concealed already. CONCEAL: b"" and the frames to
        continue for. SILENCE: b"" and the frames of it.
        """
        ring = self.ring
        self.surplus_frames = 0
        slot = ring.next % RING_PACKETS
        payload = ring.payloads[slot]
        if payload is NO_AUDIO:
            self._pass_no_audio(0)
        elif payload and self._playing and ring.timestamps[slot] == self._next_timestamp and ring.span <= SPAN_TO_CHECK:
            return self._play(slot, 0, due_s, queued_frames)  # as nearly always: what follows, and it is here
        return self._search(due_s, queued_frames)

    def _search(self, due_s: float, queued_frames: int) -> tuple[Action, bytes, int]:
        """What `pull` decides when it is not simply the next packet."""
        ring = self.ring
        if not self._playing:
            return self._begin_spurt(due_s, queued_frames)
        if ring.span > SPAN_TO_CHECK:
            self._leave_out_excess()
        ahead = ring.first_ahead()
        if ahead is None:
            return self._wait(queued_frames)
        slot = (ring.next + ahead) % RING_PACKETS
        if ring.payloads[slot] is NO_AUDIO:  # what is missing before it was its beginning, or a packet too late
            self._pass_no_audio(ahead)
            return self._wait(queued_frames)
        missing = timestamp_delta(ring.timestamps[slot], self._next_timestamp)
        if missing > ahead * self.packet_frames or missing < 0:  # the sender paused, or set its clock anew
            self.concealed_frames += min(self._gap, ahead * self.packet_frames)
            self._playing = False
            return self._begin_spurt(due_s, queued_frames)
        rest = missing - self._gap
        if ahead:
            fec = self._fec_of(slot)
            self._note_loss(fec, due_s)
            if rest > 0:
                return self._fill(slot, ahead, rest, fec)
        return self._play(slot, ahead, due_s, queued_frames)

    def _begin_anew(self) -> None:
        self._restarts = self.ring.restarts
        self.arrivals.restart()
        self._playing, self._fresh, self._gap, self._silenced = False, True, 0, False

    def _play(self, slot: int, ahead: int, due_s: float, queued_frames: int) -> tuple[Action, bytes, int]:
        ring = self.ring
        coding = ring.codings[slot]
        if coding is not None:
            self.coding = coding
        timestamp, payload = ring.timestamps[slot], ring.take(slot, ahead + 1)
        frames = self.coding.packet_frames(payload)
        if frames and frames != self.packet_frames:
            self._learn_length(frames)
        self._next_timestamp = (timestamp + frames) & 0xFFFFFFFF
        if self._gap:
            self.concealed_frames += self._gap
            if not ahead:  # it was late, not lost: so much is the delay longer now
                self._calm_s = due_s + (YOUNG_CALM_S if self.arrivals.is_young(due_s) else CALM_S)
            self._gap = 0
        self._fresh = self._silenced = False
        self.emitted_frames += frames
        self.held_s += frames * (due_s - ring.arrivals[slot] + queued_frames / CLOCK_RATE_HZ)
        arrivals = self.arrivals
        if arrivals.successor_frames and due_s - self._lost_s > LOSSY_S:
            arrivals.ask_successor(0)
        age = arrivals.age_frames(timestamp, due_s)
        excess = age + queued_frames - self._least_delay
        if excess > self._tolerance or excess < -self._tolerance or age < arrivals.needed_frames:
            self._correct(int(age), queued_frames, due_s)
        return PACKET, payload, 0

    def _correct(self, age: int, queued_frames: int, due_s: float) -> None:
        """The packet is pulled too old, or too young: how much shorter or longer should the sound be?

        What is queued already is part of the delay, but does not make a packet's turn come earlier: the pulls follow
        the ticks. So no more goes than leaves the packets pulled in the first tick after they are due.
        """
        tick = self._tick
        excess = age + queued_frames - self._least_delay
        over = int(age - self.arrivals.target_frames)
        lacking = int(self.arrivals.needed_frames - age)
        if lacking > 0:
            self.surplus_frames = min(excess, queued_frames + -lacking // tick * tick)
        elif excess < -self._tolerance:
            self.surplus_frames = excess
        elif over >= 0:
            surplus = min(excess, over // tick * tick + queued_frames)
            if surplus >= (self._tolerance if due_s >= self._calm_s else LONG_FRAMES):
                self.surplus_frames = surplus

    def _learn_length(self, frames: int) -> None:
        """Packets of so much sound come."""
        self.packet_frames = frames
        self._least_delay = max(self._configured_least, int(LEAST_WAIT * min(frames, MAX_FEC_WAIT_FRAMES)))

    def _fill(self, slot: int, ahead: int, rest: int, fec: int) -> tuple[Action, bytes, int]:
        """Before the packet in `slot`, `rest` frames are still to be heard; its FEC holds the last `fec` of them."""
        ring = self.ring
        # What is lost for certain is concealed in one piece, which sounds better than fading twice.
        chunk = min(self.packet_frames, (rest - fec) // GRAIN_FRAMES * GRAIN_FRAMES if fec else rest)
        if chunk > 0:
            self._gap += chunk
            return CONCEAL, b"", chunk
        payload = ring.payloads[slot]
        ring.skip(ahead)
        self._next_timestamp = ring.timestamps[slot]
        self.concealed_frames += self._gap
        self._gap = 0
        self.rebuilt += 1
        return FEC, payload, max(0, fec - rest)

    def _fec_of(self, slot: int) -> int:
        """How many frames in front of it the packet in `slot` can rebuild."""
        coding = self.ring.codings[slot]
        return 0 if coding is None or coding is not self.coding else coding.fec_frames(self.ring.payloads[slot])

    def _note_loss(self, fec: int, due_s: float) -> None:
        """A packet is missing although a later one is here, which can rebuild `fec` frames: once for each gap."""
        if self.ring.next == self._noted_gap:
            return
        self._noted_gap = self.ring.next
        if fec and self.packet_frames <= MAX_FEC_WAIT_FRAMES:
            if due_s - self._lost_s < LOSSY_S:
                self.arrivals.ask_successor(self.packet_frames)
            self._lost_s = due_s

    def _wait(self, queued_frames: int) -> tuple[Action, bytes, int]:
        """Nothing is due. Whether this is loss, lateness or a pause shows with the next packet."""
        if self._silenced:
            return SILENCE, b"", self._chunk
        # No more than what lacks to the next look: a packet that comes late is to be played there.
        lacking = self._tick - queued_frames % self._tick
        chunk = min(self._chunk, -(-lacking // GRAIN_FRAMES) * GRAIN_FRAMES)
        self._gap += chunk
        if self._fresh or self._gap > STARVED_FRAMES:
            self._playing = False
            return SILENCE, b"", chunk
        return CONCEAL, b"", chunk

    def _begin_spurt(self, due_s: float, queued_frames: int) -> tuple[Action, bytes, int]:
        if not self._start(due_s):
            return self._wait(queued_frames)
        return (SILENCE, b"", self._lead) if self._lead else self.pull(due_s, queued_frames)

    def _start(self, due_s: float) -> bool:
        """Begin a talk spurt as soon as a packet is due. What waited at a call's beginning is left out; it would be
        delay for all of the spurt."""
        ring, arrivals = self.ring, self.arrivals
        due = max(arrivals.target_frames, self._least_delay - self._tick)
        zero = ring.zero
        first = chosen = None
        for ahead in range(ring.span):
            slot = (zero + ahead) % RING_PACKETS
            payload = ring.payloads[slot]
            if not payload or payload is NO_AUDIO:
                continue
            age = arrivals.age_frames(ring.timestamps[slot], due_s)
            if age < due:
                break
            first = ahead if first is None else first
            chosen = ahead
            self._lead = max(0, int(self._least_delay - age) // GRAIN_FRAMES * GRAIN_FRAMES)
        if first is None or chosen is None:
            return False
        missing = timestamp_delta(ring.timestamps[(zero + first) % RING_PACKETS], self._next_timestamp)
        if not self._fresh and 0 <= missing <= first * self.packet_frames:
            self.concealed_frames += self._gap  # the network's doing, not a pause of the sender
        ring.drop(chosen)
        self._next_timestamp = ring.timestamps[ring.zero]
        self._gap = 0
        self._playing = True
        return True

    def _leave_out_excess(self) -> None:
        """Delay that is absurd is dropped at once: packets older than the target and `MAX_EXCESS_FRAMES`."""
        ring = self.ring
        excess = ring.span * self.packet_frames - self.target_frames - self.packet_frames
        if excess <= MAX_EXCESS_FRAMES:
            return
        ring.drop(min(excess // self.packet_frames, ring.span - 1))
        first = ring.first_ahead()
        if first is not None:
            ring.skip(first)
            self._next_timestamp = ring.timestamps[ring.zero]
        self._gap = 0

    def _pass_no_audio(self, ahead: int) -> None:
        """Step behind the packets without audio that begin `ahead`, and behind what is missing before them."""
        ring = self.ring
        if ahead:
            self.concealed_frames += self._gap
        self._gap = 0
        self._silenced = True
        ring.skip(ahead)
        while ring.payloads[ring.zero] is NO_AUDIO:
            ring.take(ring.zero, 1)
