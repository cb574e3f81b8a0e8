"""From presses that count to what they mean: a single, long or double press, hold-to-talk, a button that is stuck."""

from __future__ import annotations

from hardware.buttons import ButtonEvent, ButtonSpec, PressQualifier

LATE_S = 0.05  # an expiry noticed later than this says that the machine was busy: edges may still be under way


class PressPattern:
    """One button's edges, with their times, in; what a person did out. Pure: no pin, no thread, no clock.

        edges ─▶ PressQualifier ─▶ PRESSED, HELD, RELEASED ─┬▶ at once, or at the release (`on_release`)
                                                            ├▶ within `double_s` of the press before: DOUBLE
                                                            ├▶ of a talk button: TALK_START, TALK_END
                                                            └▶ down for `stuck_s`: STUCK, then UNSTUCK

    Every press that the qualifier counts is told once: as PRESSED, as half of a DOUBLE, as TALK_START, or with
    `on_release` as HELD alone. RELEASED follows what it ends and nothing else. What is told with a delay (a first
    press that might become a double one) is judged by the edges' own times, however late they come.
    """

    def __init__(self, spec: ButtonSpec, *, pressed: bool = False, now_s: float = 0.0) -> None:
        """`pressed`: the button is down at `now_s`, when watching begins. That is no press, but it may be stuck."""
        self._spec = spec
        self._contact = PressQualifier(spec.stable_ms, spec.hold_s, pressed=pressed)
        self._down_s = now_s if pressed else None  # since when
        self._first_s: float | None = None  # of a press that may become a double one
        self._alone_s = 0.0  # when it is told for what it is
        self._waited = False  # longer than that, for edges under way
        self._may_hold = False
        self._counts_at_release = False
        self._release_due = False
        self._talking = False
        self.stuck = False

    @property
    def pressed(self) -> bool:
        """Whether the button is down, as qualified."""
        return self._contact.pressed

    @property
    def level_active(self) -> bool:
        """The contact's level now, as the edges tell."""
        return self._contact.level_active

    def edge(self, level_active: bool, now_s: float) -> list[ButtonEvent]:
        """The contact changed to `level_active` at `now_s` (the edge's own time). Returns what that proves."""
        return self._take(self._contact.edge(level_active, now_s), now_s)

    def poll(self, level_active: bool, now_s: float) -> list[ButtonEvent]:
        """The pin reads `level_active` at `now_s`. Call it at `next_deadline_s`, and now and then besides."""
        return self._take(self._contact.poll(level_active, now_s), now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `poll` is due; None: nothing is pending."""
        times = [self._contact.next_deadline_s]
        if self._contact.steady:
            times.append(self._alone_s if self._first_s is not None else None)
            times.append(self._stuck_due_s())
        return min((each_s for each_s in times if each_s is not None), default=None)

    def _take(self, proven: list[ButtonEvent], now_s: float) -> list[ButtonEvent]:
        events: list[ButtonEvent] = []
        for event in proven:
            if event is ButtonEvent.PRESSED:
                events += self._press(self._contact.changed_s)
            elif event is ButtonEvent.HELD:
                events += self._hold()
            else:
                events += self._release()
        if self._contact.steady:  # else what it is about to become may change what is due
            events += self._expire(now_s)
        return events

    def _press(self, at_s: float) -> list[ButtonEvent]:
        spec, events = self._spec, []
        if self._first_s is not None and spec.double_s is not None:
            if at_s - self._first_s <= spec.double_s:
                self._first_s, self._down_s = None, at_s
                self._release_due = True
                return [ButtonEvent.DOUBLE]
            events = self._settle()
        self._down_s = at_s
        if spec.talk == "press":
            self._talking = True
            return [*events, ButtonEvent.TALK_START]
        self._may_hold = True
        if spec.double_s is not None:
            self._first_s, self._alone_s, self._waited = at_s, at_s + spec.double_s, False
            return events
        return events + self._count()

    def _count(self) -> list[ButtonEvent]:
        """The press that is down is a single one."""
        if self._spec.on_release:
            self._counts_at_release = True
            return []
        self._release_due = True
        return [ButtonEvent.PRESSED]

    def _settle(self) -> list[ButtonEvent]:
        """No second press came in time."""
        self._first_s = None
        return self._count() if self._down_s is not None else [ButtonEvent.PRESSED, ButtonEvent.RELEASED]

    def _hold(self) -> list[ButtonEvent]:
        if not self._may_hold:
            return []
        self._may_hold = False
        events = self._settle() if self._first_s is not None else []
        self._counts_at_release, self._release_due = False, True
        if self._spec.talk == "hold":
            self._talking = True
            return [*events, ButtonEvent.TALK_START]
        return [*events, ButtonEvent.HELD]

    def _release(self) -> list[ButtonEvent]:
        events = self._end_talk()
        if self._counts_at_release:
            events += [ButtonEvent.PRESSED, ButtonEvent.RELEASED]
        elif self._release_due:
            events.append(ButtonEvent.RELEASED)
        if self.stuck:
            events.append(ButtonEvent.UNSTUCK)
        self._down_s = None
        self._may_hold = self._counts_at_release = self._release_due = self.stuck = False
        return events

    def _end_talk(self) -> list[ButtonEvent]:
        talking, self._talking = self._talking, False
        return [ButtonEvent.TALK_END] if talking else []

    def _expire(self, now_s: float) -> list[ButtonEvent]:
        """What is due by `now_s` because nothing happened."""
        events: list[ButtonEvent] = []
        if self._first_s is not None and now_s >= self._alone_s:
            if now_s > self._alone_s + LATE_S and not self._waited:
                self._alone_s, self._waited = now_s + LATE_S, True
            else:
                events += self._settle()
        due_s = self._stuck_due_s()
        if due_s is not None and now_s >= due_s:
            # A microphone must not stay open because of a button that jams.
            events += [*self._end_talk(), ButtonEvent.STUCK]
            self.stuck = True
        return events

    def _stuck_due_s(self) -> float | None:
        return None if self._down_s is None or self.stuck else self._down_s + self._spec.stuck_s
