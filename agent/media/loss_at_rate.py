"""Whether packets are lost because there are too many bits: the loss at one rate held against that at another. Pure.

A bottleneck lets through what it can: a stream of rate r that loses l gets r (1 - l) across, so at the rate r' it loses
1 - (1 - l) r / r'. A bad radio link loses the same share at both. Which of the two it was, is told by what is measured
at r', once so many packets have been sent that chance cannot be the reason.
"""

from __future__ import annotations

ENOUGH_LOST = 20  # packets of which one expects that they get lost: with so many, one in a hundred verdicts is chance
ENOUGH_S = 10.0  # of reports: a radio loses several packets in a row, so that far fewer of them are of one mind
SETTLE_S = 1.0  # after a change, until what the far end counts was all sent at the new rate: a queue is emptied first
MEMORY_S = 20.0  # of the mean, for a link that changes
MAX_WEIGHT_S = 10.0  # of one report: what the time without reports was like is not known


class LossAtRate:
    """The loss measured at the present rate. `loss` is None before the first report that counts."""

    def __init__(self, rate_bps: float, packets_per_s: float) -> None:
        self.loss: float | None = None
        self._rate_bps, self._packets_per_s = rate_bps, packets_per_s
        self._measured_s = 0.0
        self._changed_s: float | None = None
        self._former: tuple[float, float] | None = None  # loss and rate before the change

    def change(self, now_s: float, rate_bps: float, packets_per_s: float, loss: float) -> None:
        """Another rate from now on; the former one lost `loss` (0..1)."""
        self._former = loss if self.loss is None else self.loss, self._rate_bps
        self._rate_bps, self._packets_per_s = rate_bps, packets_per_s
        self._changed_s, self._measured_s, self.loss = now_s, 0.0, None

    def report(self, now_s: float, since_s: float, loss: float) -> None:
        """One receiver report: `loss` 0..1 in the last `since_s`."""
        if self._changed_s is not None and now_s - since_s < self._changed_s + SETTLE_S:
            return
        weight_s = min(since_s, MAX_WEIGHT_S)
        self._measured_s += weight_s
        if self.loss is None or not self._measured_s:
            self.loss = loss
        else:
            self.loss += (loss - self.loss) * weight_s / min(self._measured_s, MEMORY_S)

    def is_known(self) -> bool:
        """Whether the loss is more than chance."""
        return self.loss is not None and self._has_enough(self.loss)

    def follows_rate(self) -> bool | None:
        """Whether the last change of the rate has changed the loss as a bottleneck does; None: not known yet."""
        if self._former is None or self.loss is None:
            return None
        former_loss, former_bps = self._former
        bottleneck_loss = max(0.0, 1.0 - (1.0 - former_loss) * former_bps / self._rate_bps)
        if not self._has_enough(max(former_loss, bottleneck_loss)):
            return None
        middle = (former_loss + bottleneck_loss) / 2
        return self.loss < middle if bottleneck_loss < former_loss else self.loss > middle

    def _has_enough(self, expected_loss: float) -> bool:
        return self._measured_s >= ENOUGH_S and self._measured_s * self._packets_per_s * expected_loss >= ENOUGH_LOST
