"""Consent to send: counted on a clock of the test's own, then seen by a peer whose far end falls silent."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket

import aioice.ice
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rtc.consent import CONSENT_EXPIRED_S, CONSENT_LOST_S, Consent, ConsentChange
from agent.rtc.peer import Disturbed, PeerSettings, Restored
from tests.pauses import Pauses
from tests.rtc.helpers import connect, ends


def test_silence_is_lost_once_and_expires_once() -> None:
    consent = Consent(100.0)
    assert consent.tick(102.4, 102.4) is None
    assert consent.due_s == 100 + CONSENT_LOST_S
    assert consent.tick(102.5, 102.5) is ConsentChange.LOST
    assert consent.tick(110.0, 110.0) is None
    assert consent.due_s == 100 + CONSENT_EXPIRED_S
    assert consent.tick(130.0, 130.0) is ConsentChange.EXPIRED
    assert consent.tick(140.0, 140.0) is None
    assert consent.answered(141.0) is None


def test_an_answer_brings_it_back_and_the_count_begins_anew() -> None:
    consent = Consent(0.0)
    assert consent.answered(1.0) is None
    assert consent.tick(3.5, 3.5) is ConsentChange.LOST
    assert consent.answered(20.0) is ConsentChange.BACK
    assert consent.tick(22.4, 22.4) is None
    assert consent.tick(22.5, 22.5) is ConsentChange.LOST


def test_time_in_which_we_slept_ourselves_is_no_silence_of_the_far_end() -> None:
    consent = Consent(0.0)
    assert consent.tick(9.0, 1.0) is None
    assert consent.tick(10.4, 10.4) is None
    assert consent.tick(10.5, 10.5) is ConsentChange.LOST


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 4.0)), max_size=60))
def test_changes_alternate_whatever_happens(steps: list[tuple[bool, float]]) -> None:
    consent, now_s, told = Consent(0.0), 0.0, []
    for answered, passed_s in steps:
        now_s += passed_s
        change = consent.answered(now_s) if answered else consent.tick(now_s, now_s)
        if change is not None:
            told.append(change)
    pairs = list(itertools.pairwise(told))
    assert all(one is not other for one, other in pairs)
    assert not told or told[0] is not ConsentChange.BACK


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def test_a_far_end_that_falls_silent_is_told_within_three_seconds_and_so_is_its_return() -> None:
    async with ends(PeerSettings(), PeerSettings()) as (near, far):
        connected, _ = await connect(near, far)
        loop = asyncio.get_running_loop()
        far.peer.resume_reading()
        sock = socket.socket(fileno=os.dup(connected.handover.fd))

        def as_the_media_process_does() -> None:
            data, address = sock.recvfrom(2048)
            if data[0] < 128:
                near.peer.inject(data, address)

        loop.add_reader(sock.fileno(), as_the_media_process_does)
        await asyncio.sleep(3.5)
        assert near.events.empty()
        far.peer.pause_reading()
        silent_s = loop.time()
        with Pauses() as pauses:
            await near.expect(Disturbed)
        assert loop.time() - silent_s < 3.0 + pauses.longest_s
        far.peer.resume_reading()
        await near.expect(Restored)
        loop.remove_reader(sock.fileno())
        sock.close()
