"""What a relay may do, whatever it is asked for and whenever: never too long, never twice in a row, never by itself."""

from __future__ import annotations

import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given
from hypothesis import strategies as st

from hardware.relays import LockedOutError, PulseTimer, Relay, RelaySpec

PULSE_S, MAX_S, LOCK_S = 3.0, 5.0, 2.0
# What may happen: so much time goes by, or somebody asks for a pulse (of so many seconds), or it is to end.
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.001, 4.0)),
        st.tuples(st.just("start"), st.one_of(st.none(), st.floats(0.01, 100.0))),
        st.tuples(st.just("end"), st.none()),
    ),
    max_size=60,
)


@given(ACTS)
def test_a_pulse_is_never_longer_than_its_maximum_and_the_lock_out_holds(
    acts: list[tuple[str, float | None]],
) -> None:
    timer, now_s = PulseTimer(PULSE_S, MAX_S, LOCK_S), 1000.0
    began_s: float | None = None
    ended_s = float("-inf")
    assert not timer.active(now_s)
    for act, value in acts:
        if act == "wait" and value is not None:
            end_s = timer.next_change_s(now_s)
            now_s += value
            if end_s is not None and end_s <= now_s:
                assert not timer.active(end_s)
                ended_s, began_s = end_s, None
        elif act == "start":
            try:
                pulse_s = timer.start(now_s, value)
            except LockedOutError as refusal:
                assert began_s is not None or now_s < ended_s + LOCK_S
                assert 0 < refusal.wait_s <= MAX_S + LOCK_S
            else:
                assert began_s is None
                assert now_s >= ended_s + LOCK_S
                assert pulse_s == min(PULSE_S if value is None else value, MAX_S)
                began_s = now_s
        elif act == "end":
            timer.end(now_s)
            if began_s is not None:
                ended_s, began_s = now_s, None
        assert timer.active(now_s) == (began_s is not None)
        if began_s is not None:
            assert now_s - began_s <= MAX_S


def test_a_second_start_does_not_make_a_pulse_longer() -> None:
    timer = PulseTimer(PULSE_S, MAX_S, LOCK_S)
    timer.start(10.0)
    with pytest.raises(LockedOutError, match=r"locked for another 4\.0 s"):
        timer.start(11.0)
    assert timer.next_change_s(11.0) == 13.0
    assert not timer.active(13.0)
    timer.start(15.0)
    assert timer.active(15.0)


@pytest.mark.parametrize("active_low", [False, True])
def test_the_pin_is_inactive_from_the_moment_in_which_it_is_an_output(active_low: bool) -> None:
    calls: list[object] = []

    class Pin:
        """Records what becomes of it, in order."""

        def output_with_state(self, state: bool) -> None:
            calls.append(("output", state))

        def __setattr__(self, name: str, value: object) -> None:
            calls.append((name, value))

    relay = Relay(RelaySpec(23, active_low=active_low), Pin())
    assert not relay.show(0.0)
    assert calls == [("output", active_low)]


def test_a_closed_relay_stays_an_output_at_its_inactive_level() -> None:
    pin = MockFactory().pin(23)
    relay = Relay(RelaySpec(23, active_low=True), pin)
    relay.timer.start(0.0)
    assert relay.show(0.0)
    assert pin.state is False
    relay.close()
    assert (pin.function, pin.state) == ("output", True)
