from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media.coding import Coding
from agent.media.jitter import Action, JitterBuffer
from agent.media.packet_ring import RING_PACKETS

TICK, FRAME, TICK_S, PITCH = 480, 960, 0.01, 384
TOC = b"\x08\x40"  # SILK, 20 ms, one frame, with FEC


def payload(number: int) -> bytes:
    return TOC + number.to_bytes(4)


class Listener:
    """Pulls as the receiver does: when what was decoded is used up. `played` holds (tick, what)."""

    def __init__(self, least_frames: int = 480) -> None:
        self.buffer = JitterBuffer(least_frames, 9600, TICK, Coding("opus", 48000))
        self.ticks = self.left = 0
        self.removed = 0
        self.played: list[tuple[int, Action, bytes]] = []

    @property
    def now_s(self) -> float:
        return self.ticks * TICK_S

    def put(self, number: int, arrival_s: float, *, sequence: int | None = None, pause: int = 0) -> None:
        timestamp = (number * FRAME + pause) & 0xFFFFFFFF
        self.buffer.put((number if sequence is None else sequence) & 0xFFFF, timestamp, payload(number), arrival_s)

    def tick(self) -> None:
        self.ticks += 1
        while self.left < TICK:
            action, data, frames = self.buffer.pull(self.now_s, self.left)
            self.played.append((self.ticks, action, data))
            if action is Action.PACKET:
                self.left += FRAME - self.fit(self.buffer.surplus_frames)
            elif action is Action.FEC:
                self.left += FRAME - frames
            else:
                self.left += frames
        self.left -= TICK

    def fit(self, surplus_frames: int) -> int:
        """As the receiver does: a pitch period of 8 ms out of speech, all that lacks into a pause."""
        removed = min(surplus_frames, 0) or PITCH * (surplus_frames >= PITCH)
        self.removed += removed
        return removed

    def run(self, arrivals: dict[int, list[float]], ticks: int, **put: int) -> None:
        queue = sorted((at, number) for number, times in arrivals.items() for at in times)
        for _ in range(ticks):
            while queue and queue[0][0] <= self.now_s + TICK_S:
                at, number = queue.pop(0)
                self.put(number, at, **put)
            self.tick()

    def packets(self) -> list[int]:
        return [int.from_bytes(data[2:]) for _, action, data in self.played if action is Action.PACKET]

    def actions(self) -> list[Action]:
        return [action for _, action, _ in self.played]


def stream(count: int, first: int = 100, phase_s: float = 0.004) -> dict[int, list[float]]:
    return {first + number: [phase_s + number * 0.02] for number in range(count)}


def test_an_undisturbed_stream_waits_at_most_the_target() -> None:
    for phase_ms in range(1, 20):
        listener, arrivals = Listener(), stream(50, phase_s=phase_ms / 1000)
        listener.run(arrivals, 100)
        waits = [
            tick * TICK_S - arrivals[int.from_bytes(data[2:])][0]
            for tick, action, data in listener.played
            if action is Action.PACKET
        ]
        assert 0 < min(waits) <= max(waits) <= 0.0201
        assert set(listener.actions()) <= {Action.PACKET, Action.SILENCE}


def test_a_packet_lost_once_costs_at_most_one_frame_no_delay_and_no_good_packet() -> None:
    for phase_ms in range(1, 20):
        listener, whole = Listener(), Listener()
        whole.run(stream(150, phase_s=phase_ms / 1000), 300)
        arrivals = stream(150, phase_s=phase_ms / 1000)
        del arrivals[120]
        listener.run(arrivals, 300)
        assert listener.buffer.concealed_frames <= FRAME
        assert listener.packets() == [number for number in whole.packets() if number != 120]
        assert listener.played[-1] == whole.played[-1]
        assert (listener.buffer.ring.dropped, listener.buffer.ring.late) == (0, 0)


def test_a_lost_packet_whose_successor_comes_meanwhile_is_half_rebuilt_and_adds_no_delay() -> None:
    listener, whole = Listener(least_frames=960), Listener(least_frames=960)
    whole.run(stream(50), 100)
    arrivals = stream(50)
    del arrivals[120]
    listener.run(arrivals, 100)
    assert listener.buffer.rebuilt == 1
    assert listener.buffer.concealed_frames <= TICK
    assert listener.played[-1] == whole.played[-1]


def test_where_packets_keep_getting_lost_a_tick_of_delay_buys_whole_fec() -> None:
    arrivals = stream(400)
    for number in range(120, 480, 10):
        del arrivals[number]
    listener = Listener()
    listener.run(arrivals, 800)
    assert listener.buffer.rebuilt >= 35
    assert listener.buffer.concealed_frames <= 4 * TICK  # of the first two, which were not known to be many
    tick, _, last = listener.played[-1]
    assert tick * TICK_S - arrivals[int.from_bytes(last[2:])][0] <= 0.0301


def test_reordered_packets_are_played_in_order() -> None:
    arrivals = stream(50)
    arrivals[120], arrivals[121] = [arrivals[121][0] - 0.001], [arrivals[120][0]]
    listener = Listener(least_frames=1920)
    listener.run(arrivals, 100)
    assert listener.packets() == sorted(listener.packets())
    assert set(range(100, 149)) <= set(listener.packets())
    assert listener.buffer.concealed_frames == 0


def test_duplicates_are_counted_and_played_once() -> None:
    arrivals = {number: times * 2 for number, times in stream(50).items()}
    listener = Listener()
    listener.run(arrivals, 100)
    assert listener.packets() == list(range(100, 150))
    assert listener.buffer.ring.duplicates + listener.buffer.ring.late >= 49


def test_delay_of_a_burst_is_taken_back() -> None:
    arrivals = stream(300)
    for number in range(150, 158):
        arrivals[number] = [arrivals[157][0]]  # the network stands still for 160 ms, then brings all at once
    listener = Listener()
    listener.run(arrivals, 600)
    assert listener.packets() == list(range(100, 400))  # nothing good is left out: the sound is made shorter
    assert listener.removed > 6 * FRAME
    tick, _, data = listener.played[-1]
    assert tick * TICK_S - arrivals[int.from_bytes(data[2:])][0] <= 0.0201
    assert listener.buffer.target_frames <= 960  # one stall is not the rule


def test_a_pause_of_the_sender_is_no_loss_and_begins_a_new_spurt() -> None:
    listener = Listener()
    for number in range(100, 120):
        listener.put(number, listener.now_s + 0.004)
        listener.tick()
        listener.tick()
    for _ in range(30):
        listener.tick()
    resumed_s = listener.now_s + 0.004
    for number in range(120, 140):
        listener.put(number, listener.now_s + 0.004, pause=30 * TICK)
        listener.tick()
        listener.tick()
    assert listener.packets() == list(range(100, 140))
    assert (listener.buffer.concealed_frames, listener.buffer.rebuilt, listener.buffer.ring.late) == (0, 0, 0)
    start_tick = next(tick for tick, _, data in listener.played if data == payload(120))
    assert start_tick * TICK_S - resumed_s <= 0.0201


def test_a_stream_that_starts_again_elsewhere_is_followed() -> None:
    listener = Listener()
    listener.run(stream(20), 40)
    later = {5000 + number: [listener.now_s + 0.004 + number * 0.02] for number in range(20)}
    listener.run(later, 40)
    assert listener.buffer.ring.restarts == 1
    assert set(range(5002, 5018)) <= set(listener.packets())


def test_one_stray_packet_from_elsewhere_changes_nothing() -> None:
    listener = Listener()
    for number in range(100, 140):
        listener.put(number, listener.now_s + 0.004)
        if number == 120:
            listener.put(9000, listener.now_s + 0.004)
        listener.tick()
        listener.tick()
    assert listener.packets() == list(range(100, 140))
    assert listener.buffer.ring.restarts == 0


def test_sequence_numbers_wrap() -> None:
    listener = Listener()
    listener.run(stream(50, first=65536 - 20), 100)
    assert listener.packets() == list(range(65516, 65566))
    assert listener.buffer.ring.restarts == 0


def test_silence_after_the_far_end_falls_silent_and_nothing_before_it_speaks() -> None:
    listener = Listener()
    listener.run({}, 20)
    assert set(listener.actions()) == {Action.SILENCE}
    listener.run({number: [listener.now_s + at[0]] for number, at in stream(10).items()}, 120)
    assert listener.actions()[-1] is Action.SILENCE


packets = st.tuples(
    st.integers(0, 65535) | st.integers(100, 140),
    st.integers(0, 2**32 - 1) | st.integers(100, 140).map(lambda number: number * FRAME),
    st.binary(max_size=6),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | packets, max_size=200))
def test_any_sequence_of_packets_keeps_it_bounded_and_sane(events: list[tuple[int, int, bytes] | None]) -> None:
    buffer, now_s = JitterBuffer(480, 9600, TICK, Coding("opus", 48000)), 0.0
    for event in events:
        if event is not None:
            buffer.put(*event, now_s)
        else:
            now_s += TICK_S
            action, data, frames = buffer.pull(now_s)
            assert bool(data) == (action in {Action.PACKET, Action.FEC})
            assert 0 <= frames <= 5760
        ring = buffer.ring
        assert ring.count == sum(map(bool, ring.payloads)) <= ring.span <= RING_PACKETS


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_random_loss_and_lateness_never_leave_delay_behind(data: st.DataObject) -> None:
    arrivals = stream(400)
    for number in data.draw(st.lists(st.integers(110, 300), unique=True, max_size=40)):
        if data.draw(st.booleans()):
            del arrivals[number]
        else:
            arrivals[number] = [arrivals[number][0] + data.draw(st.floats(0, 0.3))]
    listener = Listener()
    listener.run(arrivals, 800)
    order = listener.packets()
    assert order == sorted(set(order))
    tick, _, last = next(each for each in reversed(listener.played) if each[1] is Action.PACKET)
    asked_s = listener.buffer.target_frames / 48000  # by the lateness itself
    assert asked_s <= 0.2
    assert tick * TICK_S - arrivals[int.from_bytes(last[2:])][0] <= asked_s + 0.0201
