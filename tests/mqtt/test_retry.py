"""When the broker is tried again, and with which version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.broker import MqttVersion
from agent.mqtt.retry import LONGEST_DELAY_S, REJECTED_DELAY_S, STABLE_S, End, EndKind, RetryPolicy

UNREACHABLE = End(EndKind.UNREACHABLE, "refused")


def most_patient(version: MqttVersion | None = None) -> RetryPolicy:
    """With the longest delays that chance can make."""
    return RetryPolicy(lambda: 1.0, version)


def test_delays_double_up_to_the_longest() -> None:
    policy = most_patient()
    assert [policy.delay_after(UNREACHABLE) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_chance_takes_away_at_most_half() -> None:
    policy = RetryPolicy(lambda: 0.0)
    assert [policy.delay_after(UNREACHABLE) for _ in range(3)] == [0.5, 1, 2]


def test_a_long_connection_starts_over_a_short_one_counts_as_a_failure() -> None:
    policy = most_patient()
    for _ in range(5):
        policy.delay_after(UNREACHABLE)
    assert policy.delay_after(End(EndKind.LOST, "", lasted_s=STABLE_S - 1)) == 32
    assert policy.delay_after(End(EndKind.LOST, "", lasted_s=STABLE_S)) == 1


def test_rejected_credentials_are_retried_seldom() -> None:
    assert RetryPolicy(lambda: 0.0).delay_after(End(EndKind.REJECTED, "")) == REJECTED_DELAY_S


def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1_at_once_and_from_then_on() -> None:
    policy = most_patient()
    assert policy.version is MqttVersion.V5
    assert policy.delay_after(End(EndKind.VERSION_REFUSED, "")) == 0
    assert policy.version is MqttVersion.V311
    policy.delay_after(End(EndKind.LOST, "", lasted_s=9999))
    policy.delay_after(UNREACHABLE)
    assert policy.version is MqttVersion.V311


def test_a_broker_that_only_hung_up_is_offered_mqtt_5_again_later() -> None:
    policy = most_patient()
    assert policy.delay_after(End(EndKind.NO_CONNACK, "")) == 0
    assert policy.version is MqttVersion.V311
    assert policy.delay_after(End(EndKind.NO_CONNACK, "")) > 0
    assert policy.version is MqttVersion.V5


@pytest.mark.parametrize("kind", [EndKind.VERSION_REFUSED, EndKind.NO_CONNACK])
def test_a_version_of_the_owners_choice_is_kept(kind: EndKind) -> None:
    policy = most_patient(MqttVersion.V5)
    assert policy.delay_after(End(kind, "")) > 0
    assert policy.version is MqttVersion.V5


@given(
    st.lists(st.tuples(st.sampled_from(EndKind), st.floats(0, 1e6))),
    st.floats(0, 1, exclude_max=True),
)
def test_no_history_leads_to_hammering_or_to_giving_up(history: list[tuple[EndKind, float]], chance: float) -> None:
    policy = RetryPolicy(lambda: chance)
    at_once = 0
    for kind, lasted_s in history:
        delay_s = policy.delay_after(End(kind, "", lasted_s))
        assert 0 <= delay_s <= 1.5 * LONGEST_DELAY_S
        at_once = at_once + 1 if delay_s == 0 else 0
        assert at_once <= 1, "two attempts in a row without a pause"
