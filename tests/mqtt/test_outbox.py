"""What leaves for the broker, what waits and what is let go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.outbox import MAX_PASSING_IN_FLIGHT, Message, Outbox


def online() -> Outbox:
    outbox = Outbox()
    outbox.connected()
    return outbox


def test_while_offline_only_the_newest_of_each_retained_topic_is_kept() -> None:
    outbox = Outbox()
    assert [outbox.retained("state", payload) for payload in (b"1", b"2", b"3")] == [None] * 3
    assert outbox.retained("diagnostics", b"d") is None
    assert outbox.connected() == [Message("state", b"3", retain=True), Message("diagnostics", b"d", retain=True)]


def test_while_offline_news_are_dropped_and_counted_never_delivered_late() -> None:
    outbox = Outbox()
    assert outbox.passing("event", b"ring", 30) is None
    assert outbox.dropped == 1
    assert outbox.connected() == []


def test_one_payload_of_a_topic_is_under_way_then_the_newest_follows() -> None:
    outbox = online()
    first = outbox.retained("state", b"1")
    assert first == Message("state", b"1", retain=True)
    outbox.sent(7, first)
    assert outbox.retained("state", b"2") is None
    assert outbox.retained("state", b"3") is None
    assert outbox.acknowledged(7) == Message("state", b"3", retain=True)


def test_nothing_follows_when_nothing_changed() -> None:
    outbox = online()
    first = outbox.retained("state", b"1")
    assert first is not None
    outbox.sent(7, first)
    assert outbox.retained("state", b"1") is None
    assert outbox.acknowledged(7) is None


def test_topics_do_not_wait_for_each_other() -> None:
    outbox = online()
    first = outbox.retained("state", b"1")
    assert first is not None
    outbox.sent(1, first)
    assert outbox.retained("diagnostics", b"d") == Message("diagnostics", b"d", retain=True)


def test_a_broker_that_does_not_acknowledge_gets_no_more_news() -> None:
    outbox = online()
    for message_id in range(MAX_PASSING_IN_FLIGHT):
        message = outbox.passing("event", b"x")
        assert message is not None
        outbox.sent(message_id, message)
    assert outbox.passing("event", b"x") is None
    assert outbox.dropped == 1
    outbox.acknowledged(0)
    assert outbox.passing("event", b"x") is not None


def test_what_a_lost_connection_had_under_way_does_not_block_the_next() -> None:
    outbox = online()
    first = outbox.retained("state", b"1")
    assert first is not None
    outbox.sent(1, first)
    outbox.retained("state", b"2")
    outbox.disconnected()
    assert outbox.connected() == [Message("state", b"2", retain=True)]
    assert outbox.acknowledged(1) is None


@given(st.lists(st.sampled_from(["up", "down", "a", "b", "c", "ack"])))
def test_the_broker_always_ends_up_with_the_newest(steps: list[str]) -> None:
    outbox, up, ids = Outbox(), False, 0
    under_way: dict[int, Message] = {}
    broker: bytes | None = None
    newest: bytes | None = None

    def send(messages: list[Message]) -> None:
        nonlocal ids
        for message in messages:
            ids += 1
            outbox.sent(ids, message)
            under_way[ids] = message

    def acknowledge() -> None:
        nonlocal broker
        message_id, message = next(iter(under_way.items()))
        del under_way[message_id]
        broker = message.payload
        follow_up = outbox.acknowledged(message_id)
        send([follow_up] if follow_up else [])

    for step in [*steps, "up"]:
        match step:
            case "up" if not up:
                up = True
                send(outbox.connected())
            case "down" if up:
                up = False
                under_way.clear()
                outbox.disconnected()
            case "ack" if under_way:
                acknowledge()
            case "a" | "b" | "c":
                newest = step.encode()
                message = outbox.retained("state", newest)
                assert message is None or up
                send([message] if message else [])
    while under_way:
        acknowledge()
    assert broker == newest
