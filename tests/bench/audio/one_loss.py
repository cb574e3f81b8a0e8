"""One packet of a call is lost, once: what of the sound is missing, and for how long it comes later than before.

The same packets go to our receiver and to a stock aiortc peer, through links that lose the same one. What each gave to
its sound device is compared, packet by packet, with what a receiver of every packet would have played.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate, resample_poly

from agent.lab import voice
from tests.bench.audio.delay import ANALYSIS_HZ, DECIMATION, DelayTrack, Floats, PlayedClock, SentClock, track
from tests.bench.audio.heard import RATE_HZ, Heard
from tests.bench.audio.impairments import Impairment
from tests.bench.audio.link import LinkProcess, through
from tests.bench.audio.receivers import ProcessReceiver
from tests.bench.audio.sender import PACKET_FRAMES, Broadcast, Connection, code, send
from tests.bench.audio.table import Row

LENGTH_S = 14.0
LOST_PACKET = 250  # after five seconds, when buffers have settled
RECEIVERS = {"ours": "receiver_ours", "stock_aiortc": "receiver_aiortc"}
SURROUNDING_PACKETS = (25, 100)  # before and after the loss: what is looked at packet by packet
SIMILAR = 0.8  # correlation from which a packet counts as played; one decoded from FEC is above
QUIET_DBFS = -60.0  # of a packet: in a pause nothing is to be recognised, and nothing missed
LAG_S = 0.012  # a packet is looked for so far from where the delays around it would put it
BACK_S = 0.015  # the delay is back when it is above the one before by no more than this
PACKET_S = PACKET_FRAMES / RATE_HZ


@dataclass(frozen=True)
class Damage:
    """`late_s` is how long after the loss the delay was above what it had been; `more_ms` what remains for good."""

    concealed_frames: int
    dropped_frames: int
    late_s: float
    more_ms: float


async def _connect(receiver: ProcessReceiver, links: LinkProcess) -> Connection:
    connection = Connection()
    offer = await connection.offer()
    _, ours = through(offer, 0)
    link, a_port, b_port = await links.open(ours, Impairment(lost_positions=(LOST_PACKET,)))
    answer, theirs = through(await receiver.answer(through(offer, b_port)[0]), a_port)
    await links.far(link, theirs)
    await connection.accept(answer)
    return connection


async def damages() -> dict[str, Damage]:
    """By receiver."""
    coded = code(voice.babble(LENGTH_S))
    async with LinkProcess() as links:
        receivers = {name: await ProcessReceiver.start(module) for name, module in RECEIVERS.items()}
        connections = [await _connect(receiver, links) for receiver in receivers.values()]
        broadcast = Broadcast(coded, connections)
        await send([broadcast])
        await asyncio.sleep(1.0)  # what is still in a buffer is played
        heard = {name: await receiver.stop() for name, receiver in receivers.items()}
        for connection in connections:
            await connection.close()
        for receiver in receivers.values():
            await receiver.close()
    return {name: damage(one, coded.decoded, broadcast.sent_s) for name, one in heard.items()}


def damage(heard: Heard, decoded: npt.NDArray[np.int16], sent_s: list[float]) -> Damage:
    """What `heard` lacks of `decoded`, whose packets left at `sent_s`."""
    sent, played = SentClock(sent_s), PlayedClock(heard)
    delays = track(heard, decoded, sent, played)
    lost_s = LOST_PACKET * PACKET_S
    before_s = float(np.median(delays.delay_s[(delays.stream_s > lost_s - 2.0) & (delays.stream_s < lost_s - 0.2)]))
    late = delays.stream_s[(delays.stream_s > lost_s) & (delays.delay_s > before_s + BACK_S)]
    after_s = float(np.median(delays.delay_s[delays.stream_s > LENGTH_S - 3.0]))
    output = resample_poly(heard.samples / 32768, 1, DECIMATION)
    reference = resample_poly(decoded / 32768, 1, DECIMATION)
    first, last = LOST_PACKET - SURROUNDING_PACKETS[0], LOST_PACKET + SURROUNDING_PACKETS[1]
    missing = [
        number
        for number in range(first, last)
        if number != LOST_PACKET and not _was_played(number, output, reference, delays, sent, played)
    ]
    stretch_s = max(0.0, after_s - before_s)  # what is played later for good was bridged by something else
    concealed = len(missing) + round(stretch_s / PACKET_S)
    concealed += not _was_played(LOST_PACKET, output, reference, delays, sent, played)
    return Damage(concealed, len(missing), float(late[-1] - lost_s) if late.size else 0.0, 1000 * (after_s - before_s))


def _was_played(
    number: int, output: Floats, reference: Floats, delays: DelayTrack, sent: SentClock, played: PlayedClock
) -> bool:
    """Whether the packet is in the output where one of the delays of that time would put it."""
    start_s = number * PACKET_S
    near = np.abs(delays.stream_s - start_s) < 1.0
    piece = reference[round(start_s * ANALYSIS_HZ) : round((start_s + PACKET_S) * ANALYSIS_HZ)]
    lag = round(LAG_S * ANALYSIS_HZ)
    if float(np.mean(piece**2)) < 10 ** (QUIET_DBFS / 10):
        return True
    left_s = float(sent.left_s(np.array([start_s]))[0])
    for delay_s in np.unique(np.round(delays.delay_s[near], 2)):
        at = round(float(played.output_s(np.array([left_s + delay_s]))[0]) * ANALYSIS_HZ)
        section = output[max(0, at - lag) : at + lag + piece.size]
        if section.size < piece.size:
            continue
        products = correlate(section, piece, mode="valid")
        squares = np.concatenate([[0.0], np.cumsum(section**2)])
        energy = squares[piece.size :] - squares[: -piece.size]
        if np.max(products / np.sqrt(energy * np.sum(piece**2) + 1e-9)) >= SIMILAR:
            return True
    return False


async def rows(_folder: Path) -> list[Row]:
    found = await damages()
    ours, stock = found["ours"], found["stock_aiortc"]
    figure = "one packet lost, once"
    return [
        Row(figure, "frames of 20 ms concealed", ours.concealed_frames, stock.concealed_frames, aim="<= 1",
            met=ours.concealed_frames <= 1),
        Row(figure, "good frames dropped", ours.dropped_frames, stock.dropped_frames, aim="0",
            met=ours.dropped_frames == 0),
        Row(figure, "seconds with more delay than before", ours.late_s, stock.late_s,
            aim=f"<= 2 s (observed for {LENGTH_S - LOST_PACKET * PACKET_S:.0f} s)", met=ours.late_s <= 2.0),
        Row(figure, "delay added for good, ms", ours.more_ms, stock.more_ms),
    ]  # fmt: skip
