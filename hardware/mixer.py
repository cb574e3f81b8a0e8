"""A sound card's mixer: the controls that a profile wants set, the speaker's volume, the microphone's gain.

What a card has is looked up by name, with alternatives: the same thing is called "PCM" on one card and "Speaker" on the
next. `plan` is pure; `AlsaMixer` does it. Facts (pyalsaaudio 0.11, alsaaudio.c): a control of the simple mixer may have
a playback volume, a capture volume, both, or a list of values; `getvolume` of a direction that it lacks raises;
percentages are of the control's raw range; a switch is "muted" for playback and "records" for capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hardware.cards import Card, Direction, card_named, find_card, usb_card

# What cards call it, in the order of preference, where a profile says nothing: "Master" comes before "PCM" on cards
# that have both, since that is the amplifier's.
SPEAKER_NAMES = ("Speaker", "Master", "PCM", "Headphone", "Playback", "Digital", "HDMI")
MICROPHONE_NAMES = ("Mic", "Capture", "Microphone", "ADC PCM", "Digital Capture", "Input")
Wish = int | bool | str
SETTLED_PERCENT = 1  # a card with few steps gives back another percentage than it was set to


class MixerError(OSError):
    """A card's mixer cannot be used. `str()` says which card and why."""


@dataclass(frozen=True)
class ControlWish:
    """One control, by the first of `names` that the card has, and what it is to be. One of the wishes is set."""

    names: tuple[str, ...]
    percent: int | None = None
    switch: bool | None = None
    value: str | None = None

    @property
    def wish(self) -> Wish:
        return next(each for each in (self.percent, self.switch, self.value) if each is not None)


@dataclass(frozen=True)
class MixerWishes:
    """`[mixer]` of a profile. `volume` and `gain` count until somebody sets others."""

    speaker: tuple[str, ...] = ()  # the control that the volume moves; empty: by its usual names
    microphone: tuple[str, ...] = ()
    volume: int | None = None
    gain: int | None = None
    controls: tuple[ControlWish, ...] = ()


NO_WISHES = MixerWishes()


@dataclass(frozen=True)
class Control:
    """What a card's control can do and is set to. Percentages are None for what it lacks."""

    name: str
    playback: int | None = None
    capture: int | None = None
    switch: bool | None = None  # on or off (not muted); None without a switch
    values: tuple[str, ...] = ()  # what it may be set to, where it is a list
    value: str | None = None

    def percent(self, direction: Direction) -> int | None:
        return self.capture if direction == "capture" else self.playback


@dataclass(frozen=True)
class Step:
    """One thing to set: a percentage of `direction`'s volume, a switch or a value."""

    control: str
    wish: Wish
    direction: Direction = "playback"


class Mixer(Protocol):
    """One card's mixer."""

    def controls(self) -> tuple[Control, ...]:
        """All of them, as they are now. Raises `MixerError`."""
        ...

    def set(self, step: Step) -> None:
        """Set one control. Raises `MixerError`."""
        ...


def level_control(controls: Iterable[Control], direction: Direction, wished: tuple[str, ...] = ()) -> Control | None:
    """The control that is `direction`'s volume: of the names wished, else of the usual ones, else the only one."""
    able = {control.name: control for control in controls if control.percent(direction) is not None}
    usual = MICROPHONE_NAMES if direction == "capture" else SPEAKER_NAMES
    for name in wished or usual:
        if name in able:
            return able[name]
    return next(iter(able.values())) if len(able) == 1 and not wished else None


@dataclass(frozen=True)
class Plan:
    """What to set on one card, and what the profile wants and the card lacks."""

    steps: tuple[Step, ...] = ()
    missing: tuple[str, ...] = ()


def plan(controls: Iterable[Control], wishes: MixerWishes) -> Plan:
    """The controls of `wishes.controls` as this card has them; what is set already is left alone. Pure."""
    by_name = {control.name: control for control in controls}
    steps, missing = [], []
    for wanted in wishes.controls:
        found = next((by_name[name] for name in wanted.names if name in by_name), None)
        step = None if found is None else _step(found, wanted.wish)
        if found is None or step is None:
            missing.append(f"{' or '.join(wanted.names)} = {wanted.wish}")
        elif not _is_so(found, step):
            steps.append(step)
    return Plan(tuple(steps), tuple(missing))


def level_step(control: Control, direction: Direction, percent: int) -> Step | None:
    """What sets a volume; None where it is so already."""
    step = Step(control.name, percent, direction)
    return None if _is_so(control, step) else step


def _step(control: Control, wish: Wish) -> Step | None:
    """None where the control cannot be what is wished."""
    if isinstance(wish, bool):
        return Step(control.name, wish) if control.switch is not None else None
    if isinstance(wish, int):
        if control.playback is None and control.capture is None:
            return None
        return Step(control.name, wish, "playback" if control.playback is not None else "capture")
    return Step(control.name, wish) if wish in control.values else None


def _is_so(control: Control, step: Step) -> bool:
    if isinstance(step.wish, bool):
        return control.switch is step.wish
    if isinstance(step.wish, int):
        present = control.percent(step.direction)
        return present is not None and abs(present - step.wish) <= SETTLED_PERCENT
    return control.value == step.wish


def card_of(device: str, direction: Direction, cards: Sequence[Card]) -> Card | None:
    """The card that a device of `hardware.devices` is on now; None where it is on none that is here."""
    if device == "usb" or device.startswith("usb:"):
        usb_id = device.removeprefix("usb").removeprefix(":").lower()
        return usb_card([card for card in cards if not usb_id or card.usb_id == usb_id], direction)
    return find_card(list(cards), device) if card_named(device) else None


class AlsaMixer:
    """The mixer of an ALSA control device such as "hw:CARD=Jabra", by pyalsaaudio. Raises `MixerError`."""

    def __init__(self, device: str) -> None:
        import alsaaudio  # noqa: PLC0415 - only where there is a card

        self._alsa: Any = alsaaudio
        self._device = device
        try:
            names: list[str] = alsaaudio.mixers(device=device)
        except alsaaudio.ALSAAudioError as error:
            raise MixerError(f"the mixer of {device} does not open: {error}") from None
        # Two controls of one name are told apart by an index; ours is the first.
        self._names = list(dict.fromkeys(names))

    def controls(self) -> tuple[Control, ...]:
        """All of them, in the card's order. Raises `MixerError`."""
        return tuple(map(self._control, self._names))

    def set(self, step: Step) -> None:
        """Set one control. A volume that is set is also switched on: many cards come out of the box muted."""
        alsa = self._alsa
        try:
            mixer = alsa.Mixer(control=step.control, device=self._device)
            if isinstance(step.wish, bool):
                _switch_to(mixer, on=step.wish, capture=not _plays(mixer.switchcap()))
            elif isinstance(step.wish, int):
                capture = step.direction == "capture"
                kind = alsa.PCM_CAPTURE if capture else alsa.PCM_PLAYBACK
                mixer.setvolume(step.wish, alsa.MIXER_CHANNEL_ALL, kind)
                _switch_to(mixer, on=capture or step.wish > 0, capture=capture)
            else:
                mixer.setenum(mixer.getenum()[1].index(step.wish))
        except (alsa.ALSAAudioError, ValueError) as error:
            raise MixerError(f"the control {step.control} of {self._device} cannot be set: {error}") from None

    def _control(self, name: str) -> Control:
        alsa = self._alsa
        try:
            mixer = alsa.Mixer(control=name, device=self._device)
            if choice := mixer.getenum():
                return Control(name, values=tuple(choice[1]), value=choice[0])
            volumes = mixer.volumecap()
            return Control(
                name,
                playback=max(mixer.getvolume(alsa.PCM_PLAYBACK)) if _plays(volumes) else None,
                capture=max(mixer.getvolume(alsa.PCM_CAPTURE)) if _captures(volumes) else None,
                switch=_switch(mixer),
            )
        except alsa.ALSAAudioError as error:
            raise MixerError(f"the control {name} of {self._device} cannot be read: {error}") from None


def _plays(abilities: list[str]) -> bool:
    """Whether pyalsaaudio's `volumecap` or `switchcap` name playback, or one for both directions."""
    return any("Capture" not in each for each in abilities)


def _captures(abilities: list[str]) -> bool:
    return any("Capture" in each and "Exclusive" not in each for each in abilities)


def _switch(mixer: Any) -> bool | None:
    abilities = mixer.switchcap()
    if _plays(abilities):
        return not any(mixer.getmute())
    return any(mixer.getrec()) if _captures(abilities) else None


def _switch_to(mixer: Any, *, on: bool, capture: bool) -> None:
    """Nothing where the control has no such switch."""
    abilities = mixer.switchcap()
    if capture and _captures(abilities):
        mixer.setrec(int(on))
    elif not capture and _plays(abilities):
        mixer.setmute(int(not on))
