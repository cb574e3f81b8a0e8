"""RTCP of a call (RFC 3550 6): what we report about both streams, and what the far end reports about ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.media import rtcp
from agent.media.codecs.codec import format_of
from agent.media.srtp import SrtpError, came_before

if TYPE_CHECKING:
    from agent.media.counters import Counters, Totals
    from agent.media.messages import RtpSetup
    from agent.media.receiver import Receiver
    from agent.media.sender import Sender
    from agent.media.srtp import SrtpSession


_FIRST_BYTES = 100  # of a report with SRTCP's tag, until there are some to take the average of


class Reporter:
    """Sends reports on schedule and reads those of the far end. `round_trip_s` and `remote_loss` (0..1) are of
    the last report about our stream; None before the first. `next_s` is when to call `reconsider`."""

    def __init__(
        self,
        setup: RtpSetup,
        *,
        sender: Sender,
        receiver: Receiver,
        srtp: SrtpSession,
        send: Callable[[bytes], None],
        counters: Counters,
        totals: Totals,
        now_s: float,
    ) -> None:
        self.round_trip_s: float | None = None
        self.remote_loss: float | None = None
        self._setup, self._sender, self._receiver, self._srtp = setup, sender, receiver, srtp
        self._send, self._counters, self._totals = send, counters, totals
        self._clock_hz = format_of(setup.codec).clock_rate_hz
        self._reports = counters.reports()
        self._timing = rtcp.Timing(now_s, setup.rtcp_minimum_s, _FIRST_BYTES, rtcp.chance)
        # What RFC 3550 6.4 tells senders and sources by is the time since the last but one report.
        self._packets_at = (sender.packets, sender.packets)
        self._reported_s = (now_s, now_s)
        self._bye_s = -math.inf  # when the far end said BYE, for the source that it had
        self._last_sr: tuple[int, int, float] | None = None  # SSRC, middle of its NTP, when it came

    @property
    def next_s(self) -> float:
        return self._timing.next_s

    def packet(self, data: bytes, arrival_s: float) -> None:
        """One datagram that looks like RTCP."""
        try:
            parts = rtcp.parse(self._srtp.unprotect_rtcp(data))
        except (SrtpError, ValueError) as error:  # not authentic, too long for pylibsrtp, or no RTCP
            if came_before(error):
                self._totals.packets_duplicated += 1
            else:
                self._totals.auth_failures += 1
            return
        self._timing.packet(len(data))
        for part in parts:
            if isinstance(part, rtcp.Report):
                self._take(part, arrival_s)
            elif self._receiver.ssrc in part.ssrcs:
                self._bye_s = arrival_s

    def reconsider(self, now_s: float) -> None:
        """At `next_s`: report, if that is still due."""
        if self._timing.is_due(now_s, self._sender.session_bps):
            self.report(now_s)

    def report(self, now_s: float) -> None:
        """Send an SR, or an RR when nothing was sent since the last but one."""
        self._leave(self._compound(now_s))
        self._timing.sent(now_s, self._sender.session_bps)

    def farewell(self, now_s: float) -> None:
        """Say BYE, at once, since a call has two members; not where nothing was ever sent (6.3.7)."""
        if self._reports or self._sender.packets:
            self._leave(self._compound(now_s, bye=True))

    def _compound(self, now_s: float, *, bye: bool = False) -> bytes:
        sender = self._sender
        info = None
        if sender.packets != self._packets_at[0]:
            info = rtcp.SenderInfo(rtcp.ntp_of(now_s), sender.timestamp_at_capture(), sender.packets, sender.octets)
        packet = rtcp.build(self._setup.ssrc, self._setup.cname, sender=info, block=self._block(now_s), bye=bye)
        self._packets_at = self._packets_at[1], sender.packets
        self._reported_s = self._reported_s[1], now_s
        return packet

    def _leave(self, packet: bytes) -> None:
        protected = self._srtp.protect_rtcp(packet)
        self._reports += 1
        self._counters.report_leaves(self._reports)
        self._timing.packet(len(protected))
        self._send(protected)

    def _block(self, now_s: float) -> rtcp.ReportBlock | None:
        receiver = self._receiver
        if receiver.reception is None or receiver.ssrc is None or receiver.last_packet_s is None:
            return None
        if receiver.last_packet_s < max(self._reported_s[0], self._bye_s):
            return None  # it has left, or fallen silent
        last_sr = delay = 0
        if self._last_sr is not None and self._last_sr[0] == receiver.ssrc:
            last_sr, delay = self._last_sr[1], rtcp.delay_units(now_s - self._last_sr[2])
        reception = receiver.reception
        return rtcp.ReportBlock(
            receiver.ssrc, reception.take_fraction_lost(), reception.lost, reception.highest,
            reception.jitter, last_sr, delay,
        )  # fmt: skip

    def _take(self, report: rtcp.Report, arrival_s: float) -> None:
        if report.sender is not None:
            self._last_sr = (report.ssrc, rtcp.middle_of(report.sender.ntp), arrival_s)
        for block in report.blocks:
            if block.ssrc == self._setup.ssrc:
                self.round_trip_s = rtcp.round_trip_s(block, arrival_s)
                self.remote_loss = block.fraction_lost / 256.0
                jitter_s = block.jitter / self._clock_hz
                self._sender.take_report(arrival_s, self.remote_loss, self.round_trip_s, jitter_s)
