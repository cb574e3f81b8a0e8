"""A microphone that is kept shut: its device is closed, silence is sent at the same pace, and it comes back."""

from __future__ import annotations

import pytest

from tests.media.sound_board import PERIOD_S, Board

MIC, SILENCE = b"\x01\x00" * 480, bytes(960)


def test_shutting_it_closes_the_device_and_reads_silence_at_the_speakers_pace() -> None:
    board = Board()
    board.sound.open()
    board.run(20)
    opened = len(board.opened_captures)
    board.sound.shut_microphone(shut=True)
    assert board.closed_captures == opened == 1
    start_s = board.clock.now_s()
    assert set(board.run(300)) == {SILENCE}
    assert board.clock.now_s() - start_s == pytest.approx(300 * PERIOD_S, abs=0.05)
    assert len(board.opened_captures) == opened  # not tried again either
    board.sound.shut_microphone(shut=False)
    assert set(board.run(50)[2:]) == {MIC}
    assert board.parts == []


def test_a_call_that_begins_with_it_shut_never_opens_it() -> None:
    board = Board(shut=True)
    board.sound.open()
    assert set(board.run(250)) == {SILENCE}
    assert board.opened_captures == []
    assert board.events == ["opened"]  # the speaker, which is all that was asked for


def test_it_stays_shut_when_the_speaker_goes_and_comes_back() -> None:
    board = Board(shut=True)
    board.sound.open()
    board.plugged.discard("speaker")
    assert set(board.run(250)) == {SILENCE}
    board.plugged.add("speaker")
    assert set(board.run(250)) == {SILENCE}
    assert board.opened_captures == []


def test_shutting_a_microphone_that_is_away_clears_the_fault() -> None:
    board = Board()
    board.sound.open()
    board.plugged.discard("mic")
    board.run(150)
    board.sound.shut_microphone(shut=True)
    assert board.events == ["opened", "microphone: 'mic' is gone: plug it in", "opened"]
    board.sound.shut_microphone(shut=False)
    assert board.events[3:] == ["microphone: 'mic' is gone: plug it in"]
    board.plugged.add("mic")
    assert board.run(150)[-1] == MIC
