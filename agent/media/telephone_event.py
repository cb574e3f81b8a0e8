"""Keys of a telephone as RTP events (RFC 4733): what to send for each digit, and which digit came.

```
 audio ─▶ │ M 20 ms │ 40 │ 60 │ ... │ E 160 ms │ E 160 │ E 160 │ ─▶ audio (its timestamp as if it had gone on)
          └──────── one timestamp: that of the digit's start ──┘
```
Pure: the sender is asked for a packet in place of each audio frame, the receiver is shown each event packet.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

DIGITS = "0123456789*#ABCD"  # by event code (RFC 4733 3.2)
TONE_MS = 160  # RFC 4733 2.5.1.2 leaves it open; ITU-T Q.24 asks for 40, people press for 100 and more
GAP_MS = 80  # between two digits; Q.24 asks for 40
MAX_QUEUED_DIGITS = 256  # a minute of them: more is a mistake
MAX_DURATION = 0xFFFF  # of one segment, in timestamp units (RFC 4733 2.5.1.3)
_RESENT_ENDS = 2  # three in all (RFC 4733 2.5.1.4)
_VOLUME_DBM0 = 10  # as -10 dBm0
_END, _VOLUME_MASK = 0x80, 0x3F
_PAYLOAD = struct.Struct("!BBH")
PAYLOAD_BYTES = _PAYLOAD.size
_REMEMBERED = 16  # events whose late or doubled packets are known again
_SEGMENT_SLACK = MAX_DURATION // 8  # a sender may split a long event at whole packets, a little before the maximum


def check(digits: str) -> str:
    """`digits` in upper case. Raises ValueError that names the first one that no telephone has."""
    upper = digits.upper()
    for digit in upper:
        if digit not in DIGITS:
            raise ValueError(f"{digit!r} is no key of a telephone: 0-9, *, #, A-D are")
    return upper


@dataclass(frozen=True, slots=True)
class EventPacket:
    """In place of one audio packet. `behind_ms`: how long before now the event began."""

    payload: bytes
    marker: bool
    behind_ms: int
    begins: bool = False


class EventSender:
    """Digits in a queue, and where in the present one we are. `frame_ms` is the packet interval."""

    def __init__(self, frame_ms: int, clock_hz: int) -> None:
        self.busy = False  # whether `next_packet` wants to be asked
        self._queue: deque[int] = deque()
        self._clock_hz = clock_hz
        self._frame = 0  # of the digit that is being sent, counted from 1
        self.set_frame(frame_ms)

    def set_frame(self, frame_ms: int) -> None:
        """Another packet interval. Only while not `busy`: a digit's packets tell its length by it."""
        self._frame_ms = frame_ms
        self._tone_frames = -(-TONE_MS // frame_ms)
        self._gap_frames = max(-(-GAP_MS // frame_ms), _RESENT_ENDS)

    def add(self, digits: str) -> None:
        """To be sent after those that wait; what is beyond `MAX_QUEUED_DIGITS` is left out."""
        room = MAX_QUEUED_DIGITS - len(self._queue)
        self._queue.extend(DIGITS.index(digit) for digit in digits[:room])
        self.busy = bool(self._queue)

    @property
    def digit(self) -> str:
        """The one that is being sent, or comes next."""
        return DIGITS[self._queue[0]]

    def next_packet(self) -> EventPacket | None:
        """At the end of each audio frame while `busy`; None: this frame's audio may go."""
        self._frame += 1
        frame, tone = self._frame, self._tone_frames
        if frame > tone + _RESENT_ENDS:
            self._end_gap(frame)
            return None
        lasted_ms = min(frame, tone) * self._frame_ms
        ends = _END if frame >= tone else 0
        duration = min(lasted_ms * self._clock_hz // 1000, MAX_DURATION)
        payload = _PAYLOAD.pack(self._queue[0], ends | _VOLUME_DBM0, duration)
        packet = EventPacket(payload, frame == 1, (frame - 1) * self._frame_ms, frame == 1)
        self._end_gap(frame)
        return packet

    def _end_gap(self, frame: int) -> None:
        if frame >= self._tone_frames + self._gap_frames:
            self._queue.popleft()
            self._frame = 0
            self.busy = bool(self._queue)


class EventReceiver:
    """Which packets begin a digit. One object for all sources of a call.

    A digit is told with the first of its packets that comes, so lost ends and lost beginnings do not matter. A
    long event's next segment has the timestamp at which the former ended (RFC 4733 2.5.1.3) and is no new digit.
    `ticks` is how many of the RTP timestamp one unit of a duration lasts: 1 where both have one clock.
    """

    def __init__(self, ticks: int = 1) -> None:
        self._ticks = ticks
        self.heard = False  # whether the far end sends events at all
        self._known: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._event = -1
        self._ssrc = self._timestamp = 0
        self._ended = True

    def packet(self, ssrc: int, timestamp: int, payload: bytes, *, marker: bool) -> str | None:
        """The digit that this packet is the first of, else None; also for events that are no digits, and garbage."""
        if len(payload) < PAYLOAD_BYTES:
            return None
        event, flags, _ = _PAYLOAD.unpack_from(payload)
        if event >= len(DIGITS):
            return None
        self.heard = True
        name = ssrc, timestamp
        if name in self._known:
            if timestamp == self._timestamp and ssrc == self._ssrc:
                self._ended = self._ended or bool(flags & _END)
            return None
        self._known.append(name)
        since = (timestamp - self._timestamp) & 0xFFFFFFFF
        if since >> 31 and ssrc == self._ssrc and self._event >= 0:
            return DIGITS[event]  # older than the present one: all of its packets were late, yet it was pressed
        segment = (
            event == self._event
            and ssrc == self._ssrc
            and not marker
            and not self._ended
            and MAX_DURATION - _SEGMENT_SLACK <= since // self._ticks <= MAX_DURATION
        )
        self._event, self._ssrc, self._timestamp, self._ended = event, ssrc, timestamp, bool(flags & _END)
        return None if segment else DIGITS[event]
