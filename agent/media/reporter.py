"""RTCP of a call (RFC 3550 6): what we report about both streams, and what the far end reports about ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.media import rtcp
from agent.media.srtp import SrtpError

if TYPE_CHECKING:
    from agent.media.counters import Counters, Totals
    from agent.media.messages import RtpSetup
    from agent.media.receiver import Receiver
    from agent.media.sender import Sender
    from agent.media.srtp import SrtpSession


class Reporter:
    """Sends reports on schedule and reads those of the far end. `round_trip_s` and `remote_loss` (0..1) are of
    the last report about our stream; None before the first."""

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
        self.next_s = now_s + rtcp.interval_s(first=True)
        self._setup, self._sender, self._receiver, self._srtp = setup, sender, receiver, srtp
        self._send, self._counters, self._totals = send, counters, totals
        self._reports = counters.reports()
        self._packets_reported = 0
        self._last_sr: tuple[int, int, float] | None = None  # SSRC, middle of its NTP, when it came

    def packet(self, data: bytes, arrival_s: float) -> None:
        """One datagram that looks like RTCP."""
        try:
            parts = rtcp.parse(self._srtp.unprotect_rtcp(data))
        except (SrtpError, ValueError):  # not authentic, too long for pylibsrtp, or no RTCP
            self._totals.auth_failures += 1
            return
        for part in parts:
            if isinstance(part, rtcp.Report):
                self._take(part, arrival_s)

    def report(self, now_s: float, *, bye: bool = False) -> None:
        """Send an SR, or an RR when nothing was sent since the last one; with `bye` it says farewell."""
        sender, ssrc = self._sender, self._setup.ssrc
        info = None
        if sender.packets != self._packets_reported:
            self._packets_reported = sender.packets
            info = rtcp.SenderInfo(rtcp.ntp_of(now_s), sender.timestamp_at_capture(), sender.packets, sender.octets)
        packet = rtcp.build(ssrc, self._setup.cname, sender=info, block=self._block(now_s), bye=bye)
        protected = self._srtp.protect_rtcp(packet)
        self._reports += 1
        self._counters.report_leaves(self._reports)
        self._send(protected)
        self.next_s = now_s + rtcp.interval_s(first=False)

    def _block(self, now_s: float) -> rtcp.ReportBlock | None:
        receiver = self._receiver
        if receiver.reception is None or receiver.ssrc is None:
            return None
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
                self._sender.expect_loss(100.0 * self.remote_loss)
