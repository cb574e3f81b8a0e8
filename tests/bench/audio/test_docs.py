"""The figures of a run stand in the docs as they were measured."""

import pytest

from tests.bench.audio.docs import filled, tables
from tests.bench.audio.table import Row

ROWS = [
    Row("speech quality, PESQ-WB", "no loss", 3.847, 3.8, 3.9, "MOS-LQO", "best of three", met=False),
    Row("intelligibility, STOI", "no loss", 0.9861, 0.98, 0.97, "0..1", "best of three", met=True),
    Row("playout delay, mean", "no loss", 16.4, 82.0, 33.0, "ms"),
    Row("CPU seconds per call-minute, whole agent", "Opus", 2.5, 6.2, unit="s/min", aim="<= 1", met=False,
        others={"baresip": 1.2, "c_floor": 0.9}),
    Row("ERLE from 2 to 5 s", "as loud", 27.1, unit="dB", others={"AEC3 alone": 36.6, "libspeexdsp": 14.8}),
]  # fmt: skip


def test_each_row_stands_in_its_table_and_what_falls_short_is_bold() -> None:
    made = tables(ROWS)
    assert "| no loss | **3.85** / 3.80 / 3.90 | 0.986 / 0.980 / 0.970 | 16 / 82 / 33 |  |" in made["quality"]
    assert "| as loud | 27.1 / 36.6 / 14.8 |  |  |  |" in made["echo"]
    assert (
        "| CPU seconds per call-minute, whole agent: Opus, s/min | **2.50** | 6.20 | 1.20 | 0.90 | <= 1 |"
        in (made["cost"])
    )


def test_a_table_takes_the_place_of_the_one_before_and_nothing_else() -> None:
    text = "a\n<!-- cost: tests.bench.audio.docs -->\nold\n<!-- end of cost -->\nb"
    assert filled(text, {"cost": "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="no <!-- echo"):
        filled(text, {"echo": "new"})
