"""ARTIQ's notifications (sipyco's ``sync_struct``), publisher's side: structures that are watched.

A subscriber names the protocol and a notifier, and sends nothing more. It is told the whole
structure, and from then on what changes of it, a line of PYON each::

    C: ARTIQ sync_struct
    C: link
    S: {"action":"init","struct":{"dds":{"ch0":{"frequency":80e6}}}}
    S: {"action":"setitem","path":["dds","ch0"],"key":"frequency","value":81e6}

What is written means the same in PYON v1, which is read as Python, and in PYON v2, which is JSON:
a subscriber does not say which of both it reads. The structures are those of `NOTIFIERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import ExchangeError, InvalidParameter, Malformed, TooLarge
from ..exchanges.merge_patch import is_same
from ..exchanges.messages import Event, Reply, Request
from ..link_client import patched
from ..values import encode
from .base import Wire, WireOptions
from .datasets import datasets_of

MAGIC = b"ARTIQ sync_struct\n"

MAX_NAME_LINE = 1024
"""Bytes of the line that names a notifier; no name is longer."""

Units = Mapping[str, str]
Part = Callable[[str, Any, Units], dict[str, Any]]


def _as_it_is(name: str, state: Any, units: Units) -> dict[str, Any]:
    return {name: state}


NOTIFIERS: Mapping[str, Part] = {"datasets": datasets_of, "link": _as_it_is}
"""Each makes an instrument's part of its structure of the instrument's name, state and units."""


class Told:
    """What a subscriber knows: the structure as it was told.

    It is the form of its request, because what is told later hangs on what the reply has told.
    """

    def __init__(self, notifier: str, units: Callable[[str], Units]) -> None:
        self.is_refused = False
        """Whether it is to be told nothing."""
        self._make = NOTIFIERS[notifier]
        self._units = units
        self._states: dict[str, Any] | None = None
        self._versions: dict[str, int] = {}
        self._parts: dict[str, dict[str, Any]] = {}
        self._early: list[Event] = []

    def begin(self, instruments: Mapping[str, Any]) -> bytes:
        """Write the whole structure, from what `link.subscribe` tells of the instruments."""
        self._states = {name: told["state"] for name, told in instruments.items()}
        self._versions = {name: told["version"] for name, told in instruments.items()}
        self._parts = {name: self._part(name) for name in self._states}
        struct = {key: value for part in self._parts.values() for key, value in part.items()}
        early = b"".join([self.news(event) for event in self._early])
        self._early.clear()
        return _line({"action": "init", "struct": struct}) + early

    def news(self, event: Event) -> bytes:
        """Write what is new with a state, a line for each change; nothing where nothing is."""
        name, content = event.subject, event.content
        if event.kind != "state" or name is None:
            return b""
        if self._states is None:
            self._early.append(event)
            return b""
        if content["version"] <= self._versions.get(name, 0):
            return b""
        if "patch" in content:
            self._states[name] = patched(self._states.get(name), content["patch"])
        else:
            self._states[name] = content["state"]
        self._versions[name] = content["version"]
        former = self._parts.get(name, {})
        part = self._parts[name] = self._part(name)
        return b"".join([_line(change) for change in changes(former, part, [])])

    def _part(self, name: str) -> dict[str, Any]:
        assert self._states is not None  # noqa: S101 it has begun
        return self._make(name, self._states[name], self._units(name))


class SyncStructWire(Wire):
    """One subscriber to one notifier."""

    name = "sync_struct"
    carries_tokens = False

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._buffer = bytearray()
        self._told: Told | None = None
        self._eof = False

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def awaiting(self) -> bool:
        return self._told is None

    @property
    def form(self) -> Told | None:
        return self._told

    def receive_data(self, data: bytes) -> None:
        # Of what comes behind the name sipyco reads nothing, and here it means nothing.
        if self._told is None:
            self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._told is not None:
            # Who writes no more has gone, or wanted to know the structure once.
            self.closed |= self._eof or self._told.is_refused
            return None
        try:
            notifier = self._take_name()
        except ExchangeError as error:
            self._buffer.clear()
            return self.refuse(error)
        if notifier is None:
            self.closed |= self._eof
            return None
        self._told = Told(notifier, self._units_of)
        return Request("link.subscribe", {"kinds": ["state"]}, form=self._told)

    def _take_name(self) -> str | None:
        """The notifier's name, where it is there as a whole."""
        banner = bytes(self._buffer[: len(MAGIC)])
        if not MAGIC.startswith(banner):
            raise Malformed(f"expected {MAGIC!r}, got {banner!r}")
        end = self._buffer.find(b"\n", len(MAGIC))
        if (len(self._buffer) if end < 0 else end) > len(MAGIC) + MAX_NAME_LINE:
            raise TooLarge(f"a notifier's name is at most {MAX_NAME_LINE} bytes long")
        if end < 0:
            return None
        name = self._buffer[len(MAGIC) : end].decode("utf-8", "replace")
        self._buffer.clear()
        if name not in NOTIFIERS:
            there = ", ".join(sorted(NOTIFIERS))
            raise InvalidParameter(f"there is no notifier {name!r:.60}; there are: {there}")
        return name

    def _units_of(self, name: str) -> Units:
        instrument = self.options.registry.targets.get(name)
        return {} if instrument is None else instrument.state_units

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        told: Told | None = request.form
        if told is None:
            return b""  # the protocol refuses by closing
        told.is_refused = reply.error is not None
        return b"" if told.is_refused else told.begin(reply.result["instruments"])

    @staticmethod
    def can_push(request: Request) -> bool:
        return request.form is not None

    def encode_event(self, event: Event) -> bytes:  # type: ignore[override]
        """Write what this subscriber does not know yet."""
        return b"" if self._told is None else self._told.news(event)


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], path: list[str]
) -> Iterator[dict[str, Any]]:
    """What makes `new` of `old`, at a path in a structure, as the protocol's ``mods``."""
    for key in old.keys() - new.keys():
        yield {"action": "delitem", "path": path, "key": key}
    for key, value in new.items():
        if key not in old:
            yield {"action": "setitem", "path": path, "key": key, "value": value}
            continue
        former = old[key]
        if isinstance(former, dict) and isinstance(value, dict):
            yield from changes(former, value, [*path, key])
        elif not is_same(former, value):
            yield {"action": "setitem", "path": path, "key": key, "value": value}


def _line(change: Mapping[str, Any]) -> bytes:
    return encode(change) + b"\n"
