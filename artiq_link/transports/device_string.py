"""Device strings, such as ``serial:/dev/ttyUSB0?baud=19200``: a kind of line, where, options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl

from ..errors import InstrumentError
from ..text import nearest_hint

_Value = TypeVar("_Value")

_BARE_PORT = re.compile(r"COM[0-9]+|/dev/\S+", re.IGNORECASE)
_BARE_ADDRESS = re.compile(r"[\w.-]+\.[\w-]+(:[0-9]+)?|\[[0-9a-f:]+\](:[0-9]+)?", re.IGNORECASE)


class WrongDevice(InstrumentError, ValueError):
    """A device string names nothing that there could be; the sentence says what to write.

    Where an instrument is opened, the server says that sentence and ends.
    """


class DeviceString(NamedTuple):
    """A device string, taken apart."""

    kind: str
    """What stands before the colon: ``serial``."""
    where: str
    """What stands behind it: ``/dev/ttyUSB0``."""
    options: Mapping[str, str]
    """What stands behind the question mark: ``{"baud": "19200"}``."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.where}"

    def check_options(self, *known: str) -> None:
        """Raise `WrongDevice` for an option that is not `known`."""
        for name in self.options:
            if name not in known:
                all_known = f"; there are {', '.join(known)}" if known else ""
                hint = nearest_hint(name, known) or all_known
                raise WrongDevice(f"{self.kind}: has no option {name!r}{hint}")

    def choice(self, name: str, choices: Mapping[str, _Value], default: _Value) -> _Value:
        """The value that the option's text stands for among `choices`."""
        text = self.options.get(name)
        if text is None:
            return default
        if text not in choices:
            known = ", ".join(choices)
            raise WrongDevice(f"{self}: {name}={text} is none of {known}")
        return choices[text]

    def number(self, name: str, default: int) -> int:
        """The option as a whole number from 1 on."""
        text = self.options.get(name)
        if text is None:
            return default
        if not text.isdecimal() or not int(text):
            raise WrongDevice(f"{self}: {name}={text} is no whole number from 1 on")
        return int(text)


def parse_device(text: str, kinds: Mapping[str, str]) -> DeviceString:
    """Take a device string apart; `kinds` has an example for each kind that there is.

    Raises `WrongDevice`, with what was meant perhaps.
    """
    kind, colon, rest = text.partition(":")
    kind = kind.strip().lower()
    if not colon or kind not in kinds:
        raise WrongDevice(f"{text!r} is no device: {_meant(text, kind, kinds)}")
    where, _, options = rest.partition("?")
    try:
        pairs = parse_qsl(options, keep_blank_values=True, strict_parsing=bool(options))
    except ValueError:
        pairs = [("", "")]
    names = [name for name, _ in pairs]
    if "" in names or len(set(names)) < len(names):
        raise WrongDevice(
            f"{text!r}: what stands behind the question mark is not as in {kinds[kind]}"
        )
    if not where.strip():
        raise WrongDevice(f"{text!r} does not say where: write such as {kinds[kind]}")
    return DeviceString(kind, where.strip(), dict(pairs))


def _meant(text: str, kind: str, kinds: Mapping[str, str]) -> str:
    text = text.strip()
    if "serial" in kinds and _BARE_PORT.fullmatch(text):
        return f"write serial:{text}"
    if "tcp" in kinds and _BARE_ADDRESS.fullmatch(text):
        return f"write tcp:{text}"
    examples = " or ".join(kinds.values())
    return f"write such as {examples}{nearest_hint(kind, kinds)}"
