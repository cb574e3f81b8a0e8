"""The audio path of one call, with devices, sockets and clocks outside of it.

```
 every period (10 ms) the sound card wakes the media process, and `tick` does all of this, in this order:

 socket ─▶ drain ─┬─ RTP ──▶ SRTP off ──▶ jitter buffer        (reception: loss, jitter)
   ▲              ├─ RTCP ─▶ SRTCP off ─▶ reporter            (round trip, the far end's loss ─▶ encoder)
   │              └─ STUN, DTLS ─▶ control process
   │
   ├─ SRTP ◀─ RTP ◀─ Opus ◀─ frame full? ◀─ mute ◀───────────────────────────────── mic: one period
   ├─ SRTCP ◀─ reporter, when due
   │
   └────────── jitter buffer ─▶ Opus decode | FEC | conceal ─▶ one period ─▶ deaf ─▶ speaker
```
The microphone goes first, because its delay counts at once, while the speaker has its fill to play from. Before
`connect` the microphone's periods are thrown away and the speaker gets silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.media.codecs.codec import format_of
from agent.media.codecs.opus import SAMPLE_BYTES, SAMPLE_RATES_HZ
from agent.media.counters import Counters, Totals
from agent.media.messages import MediaStats
from agent.media.playout_clock import PlayoutClock
from agent.media.receiver import Receiver
from agent.media.reporter import Reporter
from agent.media.sender import Sender, TxPosition, random_position
from agent.media.srtp import SrtpPosition, SrtpSession

if TYPE_CHECKING:
    from agent.media.messages import RtpSetup, TransportSetup
    from agent.media.packets import Address, Packets

TOTALS_IN_STATS = tuple(name for name in vars(MediaStats()) if name in Totals.__slots__)
MAX_UNDRAINED_TICKS = 4  # STUN waits no longer than this for its answer, however long the far end's packets are
MAX_DATAGRAMS_A_DRAIN = 32  # a flood must not keep the sound card waiting; a call brings one every other tick
FORMER_PATH_S = 3.0  # how long a path that was left is read on, by nobody else: the slowest far end has changed by then
FRESH_S = 0.02  # a packet that has waited longer was not alone in the queue, so the queue is emptied
_RTP_FIRST, _RTP_LAST = 128, 191  # RFC 7983 7
_DEMULTIPLEXED_LAST = 79  # STUN 0-3, ZRTP, DTLS 20-63, TURN channels 64-79; the rest is nobody's
_RTCP_FIRST, _RTCP_LAST = 192, 223  # RFC 5761 4


@dataclass(frozen=True, slots=True)
class FormerPath:
    """A socket that was left, the keys of what is still on its way to it, and until when it is read."""

    packets: Packets
    unprotect: Callable[[bytes], bytes]
    until_s: float


def _ignore(*_: str) -> None:
    """Nobody wants to be told of digits."""


class Engine:
    """Everything of a call that is neither device nor socket. One `tick` a period; `stats` once a second.

    Samples have `channels`, interleaved.
    `forward(data, address)` gets the datagrams that belong to the control process; `totals` are what a former
    process counted of this call. `on_digit(digit)` is told of each digit as it begins to be sent, `on_dtmf(digit,
    source)` of each that the far end sends. The engine closes the sockets that it is given. While `deaf` the speaker
    gets silence and everything else goes on, so that the far end is heard at once, without delay, when that ends.
    Raises ValueError when `rate_hz` is not one of Opus' rates.
    """

    def __init__(
        self,
        rate_hz: int,
        period_frames: int,
        counters: Counters,
        forward: Callable[[bytes, Address], None],
        *,
        totals: Totals | None = None,
        channels: int = 1,
        muted: bool = False,
        deaf: bool = False,
        detect_dtmf: bool = False,
        on_digit: Callable[[str], None] = _ignore,
        on_dtmf: Callable[[str, str], None] = _ignore,
    ) -> None:
        if rate_hz not in SAMPLE_RATES_HZ:
            rates = ", ".join(map(str, SAMPLE_RATES_HZ))
            raise ValueError(f"audio.rate_hz: Opus cannot take {rate_hz} Hz; use one of {rates}")
        self._muted = muted
        self._announcing = False
        self.deaf = deaf
        self._detect_dtmf = detect_dtmf
        self._on_digit, self._on_dtmf = on_digit, on_dtmf
        self._undrained = 0
        self._rate_hz, self._period_frames = rate_hz, period_frames
        self._counters, self._forward = counters, forward
        self._channels = channels
        self._silence = bytes(period_frames * channels * SAMPLE_BYTES)
        self._playout = PlayoutClock(period_frames / rate_hz)
        self.totals = totals or Totals()
        self._key_id = b""
        self._packets: Packets | None = None
        self._former: FormerPath | None = None
        self._setup: TransportSetup | None = None
        self._sender: Sender | None = None
        self._receiver: Receiver | None = None
        self._reporter: Reporter | None = None
        self._srtp: SrtpSession | None = None

    def connect(self, setup: TransportSetup, key_id: bytes, packets: Packets, now_s: float) -> None:
        """Begin, or go on over another path: from here on all RTP and RTCP of the socket are ours.

        The same keys as before (another candidate pair) change only the socket; other keys for the same streams leave
        encoder, jitter buffer and decoder as they are. What came by the former path is read first, and what is still
        on its way there for a while. Keys that this page of counters has seen (a new process) continue behind every
        index in use. Raises ValueError and CodecError for an impossible setup, and changes nothing then.
        """
        if self._setup is not None and (key_id, setup.rtp, setup.opus) == (
            self._key_id, self._setup.rtp, self._setup.opus,
        ):  # fmt: skip
            self._leave_path(now_s)
            self._packets = packets
            return
        rtp_setup, counters, totals = setup.rtp, self._counters, self.totals
        resuming = counters.belongs_to(key_id, rtp_setup.ssrc)
        rx_ssrc, rx_index = counters.received() if resuming else (None, 0)
        position = self._tx_position(rtp_setup, resuming=resuming, now_s=now_s)
        srtp = SrtpSession(
            setup.keys,
            rtp_setup.ssrc,
            SrtpPosition(position.index, counters.reports(), rx_ssrc, rx_index) if resuming else None,
        )
        sender, receiver, present = self._sender, self._receiver, self._setup
        if sender and receiver and present and (present.rtp, present.opus) == (rtp_setup, setup.opus):
            self._leave_path(now_s)
            sender.rekey(srtp.protect, position.index)
            receiver.rekey(srtp.unprotect)
        else:
            sender, receiver = self._new_streams(setup, srtp, position)
            self._leave_path(now_s)
            self._close_streams()
        if rx_ssrc is not None:
            receiver.resume(rx_ssrc, rx_index)
        if not resuming:
            counters.begin(key_id, rtp_setup.ssrc, position.index, position.timestamp, int(now_s * 1e9))
        self._setup, self._key_id, self._packets, self._srtp = setup, key_id, packets, srtp
        self._sender, self._receiver = sender, receiver
        self._reporter = Reporter(
            rtp_setup,
            sender=sender,
            receiver=receiver,
            srtp=srtp,
            send=self._send,
            counters=counters,
            totals=totals,
            now_s=now_s,
        )

    def add_source(self, address: tuple[str, int]) -> None:
        """ICE has found the far end at another address as well."""
        if self._packets is not None:
            self._packets.add_source(address)

    def send_digits(self, digits: str) -> None:
        """Send `digits` as telephone events, after those that wait."""
        if self._sender is not None:
            self._sender.send_digits(digits)

    @property
    def muted(self) -> bool:
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        self._mute_sender()

    @property
    def announcing(self) -> bool:
        """Whether what `tick` gets is to be sent although the microphone is muted."""
        return self._announcing

    @announcing.setter
    def announcing(self, announcing: bool) -> None:
        self._announcing = announcing
        self._mute_sender()

    def _mute_sender(self) -> None:
        if self._sender is not None:
            self._sender.muted = self._muted and not self._announcing

    def tick(self, mic: bytes, now_s: float) -> bytes:
        """One period: `mic` in (b"" where there is none), the speaker's period out; int16 of the same length.

        The socket is looked at when its packets are needed: when the last decoded packet is used up, so every
        second period as a rule. The kernel has noted when each packet came, so nothing is lost by that.
        """
        sender, receiver = self._sender, self._receiver
        due_s = self._playout.due_s(now_s)
        if sender is None or receiver is None:
            return self._silence
        sender.capture(mic, now_s)
        speaker = receiver.buffered()
        self._undrained += 1
        if speaker is None or self._undrained == MAX_UNDRAINED_TICKS:
            self._undrained = 0
            self._drain(now_s)
        period = speaker or receiver.play(due_s)
        return self._silence if self.deaf else period

    def stats(self, now_s: float) -> MediaStats:
        """The figures of the call so far; levels are those of the time since the last call."""
        totals = self.totals
        stats = MediaStats()
        self._count_refused()
        sender, receiver, reporter = self._sender, self._receiver, self._reporter
        if self._setup and sender and receiver and reporter:
            receiver.count()
            stats.codec = self._setup.rtp.codec
            stats.capture_dbfs = round(sender.level.take_dbfs(), 1)
            received_dbfs = round(receiver.level.take_dbfs(), 1)
            stats.playback_dbfs = stats.playback_dbfs if self.deaf else received_dbfs
            receiver.describe(stats)
            if receiver.last_packet_s is not None:
                stats.seconds_since_packet = round(now_s - receiver.last_packet_s, 3)
            if reporter.round_trip_s is not None:
                stats.round_trip_ms = round(1000 * reporter.round_trip_s, 2)
            encoder = sender.settings
            stats.bitrate_bps, stats.ptime_ms = encoder.bitrate_bps, encoder.ptime_ms
            stats.fec_percent = encoder.packet_loss_percent
            if reporter.remote_loss is not None:
                stats.remote_loss_percent = round(100 * reporter.remote_loss, 1)
        for name in TOTALS_IN_STATS:
            setattr(stats, name, getattr(totals, name))
        stats.jitter_buffer_delay_s = totals.jitter_buffer_delay_ms / 1000
        self._counters.save(totals)
        return stats

    def close(self, now_s: float) -> None:
        """Say BYE and end. The counters stay, in case these keys are used again."""
        if self._reporter is not None:
            self._reporter.farewell(now_s)
        self._close_streams()
        self._close_former()
        if self._packets is not None:
            self._packets.close()
            self._packets = None

    def _tx_position(self, setup: RtpSetup, *, resuming: bool, now_s: float) -> TxPosition:
        if resuming:
            index, timestamp, then_ns = self._counters.next_packet()
            passed = max(0, round((now_s - then_ns * 1e-9) * format_of(setup.codec).clock_rate_hz))
            return TxPosition(index, (timestamp + passed) & 0xFFFFFFFF)
        if self._sender is not None and self._setup is not None and self._setup.rtp.ssrc == setup.ssrc:
            # New keys, same source: the far end's timeline goes on, the rollover counter starts anew with the keys.
            return TxPosition(self._sender.index & 0xFFFF, self._sender.timestamp)
        return random_position()

    def _new_streams(self, setup: TransportSetup, srtp: SrtpSession, position: TxPosition) -> tuple[Sender, Receiver]:
        """Raises CodecError."""
        detector = None
        if self._detect_dtmf:
            from agent.media.dtmf_detector import DtmfDetector  # noqa: PLC0415 - only calls that want it pay for it

            detector = DtmfDetector(self._rate_hz)
        sender = Sender(
            setup.rtp,
            opus=setup.opus,
            rate_hz=self._rate_hz,
            position=position,
            protect=srtp.protect,
            send=self._send,
            counters=self._counters,
            totals=self.totals,
            muted=self._muted and not self._announcing,
            on_digit=self._on_digit,
            channels=self._channels,
        )
        receiver = Receiver(
            setup.rtp,
            rate_hz=self._rate_hz,
            period_frames=self._period_frames,
            unprotect=srtp.unprotect,
            counters=self._counters,
            totals=self.totals,
            on_dtmf=self._on_dtmf,
            detector=detector,
            channels=self._channels,
        )
        return sender, receiver

    def _close_streams(self) -> None:
        if self._sender is not None and self._receiver is not None:
            self._receiver.count()
            self._sender.close()
            self._receiver.close()
        self._sender = self._receiver = self._reporter = None

    def _leave_path(self, now_s: float) -> None:
        """Read what the present path has brought, and make it the former one."""
        if self._former is not None:
            self._read_former(self._former, now_s)
            self._close_former()
        self._count_refused()
        if self._packets is not None and self._srtp is not None:
            self._former = FormerPath(self._packets, self._srtp.unprotect, now_s + FORMER_PATH_S)
            self._packets = None
            self._read_former(self._former, now_s)

    def _count_refused(self) -> None:
        """By the network of this device, and by us."""
        packets = self._packets
        if packets is not None:
            self.totals.packets_refused += packets.refused
            self.totals.send_errors += packets.send_errors
            packets.refused = packets.send_errors = 0

    def _read_former(self, former: FormerPath, now_s: float) -> None:
        """Packets that were on their way when the path changed. Its RTCP is of no use any more."""
        receiver = self._receiver
        for _ in range(MAX_DATAGRAMS_A_DRAIN):
            datagram = former.packets.receive()
            if datagram is None:
                break
            data, address, queued_s = datagram
            if len(data) < 2:
                continue
            if _RTP_FIRST <= data[0] <= _RTP_LAST:
                if receiver is not None and not _RTCP_FIRST <= data[1] <= _RTCP_LAST:
                    receiver.packet(data, now_s - (queued_s or 0.0), former.unprotect)
            elif data[0] <= _DEMULTIPLEXED_LAST:
                self._forward(data, address)
        if now_s >= former.until_s:
            self._close_former()

    def _close_former(self) -> None:
        if self._former is not None:
            self._former.packets.close()
            self._former = None

    def _drain(self, now_s: float) -> None:
        packets, receiver, reporter = self._packets, self._receiver, self._reporter
        if packets is None or receiver is None or reporter is None:
            return
        if now_s >= reporter.next_s:
            reporter.reconsider(now_s)
        if self._former is not None:
            self._read_former(self._former, now_s)
        receive = packets.receive
        for _ in range(MAX_DATAGRAMS_A_DRAIN):
            datagram = receive()
            if datagram is None:
                return
            data, address, queued_s = datagram
            if len(data) < 2:
                continue
            first = data[0]
            if _RTP_FIRST <= first <= _RTP_LAST:
                arrival_s = now_s - (queued_s or 0.0)
                if _RTCP_FIRST <= data[1] <= _RTCP_LAST:
                    reporter.packet(data, arrival_s)
                else:
                    receiver.packet(data, arrival_s)
                    if queued_s is not None and queued_s < FRESH_S and receiver.jitter.has_next:
                        return  # what is to be played is here: the next look costs as much as this packet did
            elif first <= _DEMULTIPLEXED_LAST:
                self._forward(data, address)

    def _send(self, data: bytes) -> None:
        if self._packets is not None:
            self._packets.send(data)
