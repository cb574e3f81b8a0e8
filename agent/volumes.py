"""The device's volumes: the speaker's and the microphone's, from the profile or as somebody set them.

They are the card's own where it has such controls, and ours (`agent.media.volume`) where it has none. What was set is
kept in the state folder, and set again at the start and when the card comes back; in between, whoever turns the knob on
the card itself is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.calls.commands import CommandError, VolumeCommand
from agent.media.messages import AudioOpened
from hardware.cards import Card, Direction, read_cards
from hardware.mixer import AlsaMixer, Mixer, MixerError, card_of, level_control, level_step, plan
from hardware.profile import Profile

if TYPE_CHECKING:
    from agent.media.control import MediaProcess
    from agent.media.messages import AudioSetup, MediaEvent

logger = logging.getLogger(__name__)

FILE = "volumes.json"
FULL_PERCENT = 100
DEV_SND = Path("/dev/snd")
PARTS: dict[str, Direction] = {"speaker": "playback", "microphone": "capture"}


class VolumeFile:
    """What was set, by profile: `{"usb-speakerphone": {"speaker": 70}}`. A broken file is as good as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, profile: str) -> dict[str, int]:
        kept = self._all().get(profile)
        if not isinstance(kept, dict):
            return {}
        return {part: kept[part] for part in PARTS if type(kept.get(part)) is int and 0 <= kept[part] <= FULL_PERCENT}

    def save(self, profile: str, percents: dict[str, int]) -> None:
        """Raises OSError."""
        text = json.dumps({**self._all(), profile: percents})
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In one step: a power cut leaves the old file or the new one.
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._path)

    def _all(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(self._path.read_text())
            if isinstance(kept, dict):
                return kept
        return {}


class Volumes:
    """The volumes of the profile's cards. `percents` is what they are now, None where nobody has said.

    `changed` is called in the event loop after each change. `devices` are those of a call with the config's defaults.
    Cards that cannot be set are said once, and the calls go on.
    """

    def __init__(
        self,
        devices: Callable[[], AudioSetup],
        profile: Callable[[], Profile],
        media: MediaProcess,
        file: VolumeFile,
        changed: Callable[[], None],
        *,
        open_mixer: Callable[[str], Mixer] = AlsaMixer,
        cards: Callable[[], list[Card]] = read_cards,
        dev_snd: Path = DEV_SND,
    ) -> None:
        self.percents: dict[str, int | None] = dict.fromkeys(PARTS)
        self._devices, self._profile, self._media = devices, profile, media
        self._file, self._changed = file, changed
        self._open_mixer, self._cards, self._dev_snd = open_mixer, cards, dev_snd
        self._applied: object = None  # what the cards looked like that were set
        self._ours: dict[str, int] = {}  # percents that our own stage makes
        self._said: set[str] = set()
        self._lock = asyncio.Lock()
        self._chores: set[asyncio.Task[None]] = set()

    async def restore(self) -> None:
        """Set what was kept, or what the profile says, unless these very cards have been set already."""
        async with self._lock:
            if (present := self._fingerprint()) == self._applied:
                return
            self._applied = present
            wishes, kept = self._profile().mixer, self._file.load(self._profile().name)
            wanted = {"speaker": wishes.volume, "microphone": wishes.gain, **kept}
            await self._set({part: percent for part, percent in wanted.items() if percent is not None}, controls=True)
        self._changed()

    def on_media_event(self, event: MediaEvent) -> None:
        """The devices are open: perhaps on a card that has come back, with its volume as it was made."""
        if isinstance(event, AudioOpened):
            task = asyncio.create_task(self.restore(), name="volumes")
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)

    async def execute(self, command: VolumeCommand) -> dict[str, Any]:
        """Set what the command names; what the volumes are now. Raises `CommandError` when they cannot be set."""
        asked = {part: getattr(command, part) for part in PARTS if getattr(command, part) is not None}
        if asked:
            await self.restore()
            async with self._lock:
                problems = await self._set(asked, controls=False)
                if problems:
                    raise CommandError(f"command/volume: {problems[0]}")
                self._keep(asked)
            self._changed()
        return dict(self.percents)

    def _keep(self, asked: dict[str, int]) -> None:
        name = self._profile().name
        try:
            self._file.save(name, {**self._file.load(name), **asked})
        except OSError as error:
            self._say(f"volumes are not kept for the next start: {error.strerror}: {error.filename}")

    async def _set(self, wanted: dict[str, int], *, controls: bool) -> list[str]:
        """Beside the event loop: a USB card takes its time. Returns what went wrong."""
        ours, problems = await asyncio.to_thread(self._set_cards, wanted, controls=controls)
        self._ours |= ours
        self.percents |= {part: wanted[part] for part in ours}
        self._media.set_volume(
            speaker_percent=self._ours.get("speaker", FULL_PERCENT),
            microphone_percent=self._ours.get("microphone", FULL_PERCENT),
        )
        for problem in problems:
            self._say(problem)
        return problems

    def _set_cards(self, wanted: dict[str, int], *, controls: bool) -> tuple[dict[str, int], list[str]]:
        """Which percents our own stage has to make, and what went wrong. In a thread."""
        ours, problems = {}, []
        for part, direction in PARTS.items():
            percent = wanted.get(part)
            try:
                of_card = self._set_card(part, direction, percent, controls=controls)
            except MixerError as error:
                problems.append(f"{part}: {error}")
                continue
            if percent is not None:
                ours[part] = FULL_PERCENT if of_card else percent
        return ours, problems

    def _set_card(self, part: str, direction: Direction, percent: int | None, *, controls: bool) -> bool:
        """Whether `direction`'s card has a volume of its own; it is set then. Raises `MixerError`."""
        card, wishes = self._card(direction), self._profile().mixer
        if card is None:
            return False
        mixer = self._open_mixer(f"hw:CARD={card.id}")
        if controls:
            for step in plan(mixer.controls(), wishes).steps:
                mixer.set(step)
        names = wishes.speaker if part == "speaker" else wishes.microphone
        control = level_control(mixer.controls(), direction, names)
        if control is None:
            return False
        if percent is not None and (wanted := level_step(control, direction, percent)) is not None:
            mixer.set(wanted)
        return True

    def _card(self, direction: Direction) -> Card | None:
        setup = self._devices()
        return card_of(setup.capture if direction == "capture" else setup.playback, direction, self._cards())

    def _fingerprint(self) -> object:
        """Another one for a card that was away in between: its control device is another file then."""
        there = [card for direction in PARTS.values() if (card := self._card(direction)) is not None]
        return self._profile().name, *((card.id, card.usb_id, self._file_of(card)) for card in there)

    def _file_of(self, card: Card) -> tuple[int, int] | None:
        try:
            found = (self._dev_snd / f"controlC{card.index}").stat()
        except OSError:
            return None
        return found.st_ino, found.st_ctime_ns

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("volume: %s", text)
