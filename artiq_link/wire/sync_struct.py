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
from typing import Any, NamedTuple

from ..errors import ExchangeError, InvalidParameter, TooLarge
from ..exchanges.merge_patch import is_same
from ..exchanges.messages import Event, Reply, Request
from ..instrument.instrument import Instrument
from ..instrument.reading import readings_of
from ..link_client import patched
from ..slices import Slices
from ..values import encode
from .base import Wire, WireOptions
from .datasets import dataset_name, datasets_of, is_object

MAGIC = b"ARTIQ sync_struct\n"

MAX_NAME_LINE = 1024
"""Bytes of the line that names a notifier; no name is longer."""

SLICE = 16 * 1024
"""Bytes of changes that are written before others are served: some 200 lines, or 1 ms."""

Units = Mapping[str, str]


class Change(NamedTuple):
    """What has changed of the states: a member of an object at a path in them."""

    path: list[str]
    """Of names, the first of them an instrument's; empty where the member is that instrument."""
    key: str
    former: Any
    value: Any
    """Both may be `ABSENT`."""


class Notifier(NamedTuple):
    """A structure that is made of the states of instruments."""

    part: Callable[[str, Any, Units], dict[str, Any]]
    """Makes an instrument's part of it, of the instrument's name, state and units."""
    mods: Callable[[Change, Units], Iterator[dict[str, Any]]]
    """Makes the protocol's ``mods`` of a change."""


ABSENT = object()
"""In the place of a member that is not there."""


def changes(
    former: Mapping[str, Any], value: Mapping[str, Any], path: list[str]
) -> Iterator[Change]:
    """What has changed of the members of an object at a path where the one took the place of the
    other."""
    for name, gone in former.items():
        if name not in value:
            yield Change(path, name, gone, ABSENT)
    for name, new in value.items():
        old = former.get(name, ABSENT)
        if old is new:
            continue
        if is_object(old) and is_object(new):
            yield from changes(old, new, [*path, name])
        elif not is_same(old, new):
            yield Change(path, name, old, new)


def as_it_is(name: str, state: Any, units: Units) -> dict[str, Any]:
    """An instrument's part of the notifier ``link``."""
    return {name: state}


def mods_as_it_is(change: Change, units: Units) -> Iterator[dict[str, Any]]:
    """A change of the notifier ``link``."""
    path, key, _, value = change
    if value is ABSENT:
        yield {"action": "delitem", "path": path, "key": key}
    else:
        yield {"action": "setitem", "path": path, "key": key, "value": value}


def mods_of_datasets(change: Change, units: Units) -> Iterator[dict[str, Any]]:
    """A change of the notifier ``datasets``: of all those that the member had or has."""
    path, key, former, value = change
    name = dataset_name([*path, key])
    had = {} if former is ABSENT else datasets_of(name, former, units, key)
    has = {} if value is ABSENT else datasets_of(name, value, units, key)
    for gone in had:
        if gone not in has:
            yield {"action": "delitem", "path": [], "key": gone}
    for there, dataset in has.items():
        # Of what stands under the member's own name it is known that it has changed.
        if there == name or there not in had or not is_same(had[there], dataset):
            yield {"action": "setitem", "path": [], "key": there, "value": dataset}


NOTIFIERS = {
    "datasets": Notifier(datasets_of, mods_of_datasets),
    "link": Notifier(as_it_is, mods_as_it_is),
}


class Form(NamedTuple):
    """How a subscription is answered."""

    notifier: Notifier
    units: Mapping[str, Units]
    """Of the numbers in each instrument's state."""


class Told:
    """What a subscriber knows: the states as it was told, first as `link.subscribe` gave them."""

    def __init__(self, form: Form, instruments: Mapping[str, Any]) -> None:
        self._form = form
        self._states = {name: told["state"] for name, told in instruments.items()}
        self._versions = {name: told["version"] for name, told in instruments.items()}

    def news(self, event: Event) -> Iterator[bytes]:
        """Write what is new with a state, a line for each change; nothing where nothing is."""
        name, content = event.subject, event.content
        if name is None or content["version"] <= self._versions.get(name, 0):
            return
        former = {name: self._states[name]} if name in self._states else {}
        is_patch = "patch" in content
        state = patched(former.get(name), content["patch"]) if is_patch else content["state"]
        self._states[name], self._versions[name] = state, content["version"]
        mods, units = self._form.notifier.mods, self._form.units[name]
        for change in changes(former, {name: state}, []):
            yield from map(_line, mods(change, units))


class SyncStructWire(Wire):
    """One subscriber to one notifier."""

    name = "sync_struct"
    carries_tokens = False

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._buffer = bytearray()
        self._eof = False
        self._form: Form | None = None
        self._told: Told | None = None
        # The newest of each instrument that has not been told.
        self._waiting: dict[str | None, Event] = {}

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def awaiting(self) -> bool:
        return self._form is None

    @property
    def form(self) -> Form | None:
        # There are no words for a refusal; closing is the protocol's.
        return self._form

    def receive_data(self, data: bytes) -> None:
        # Of what comes behind the name sipyco reads nothing, and here it means nothing.
        if self._form is None:
            self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._work is not None:
            self._go_on(self._work)
        if self.unfinished:
            return None
        try:
            notifier = self._take_name() if self._form is None else None
        except ExchangeError as error:
            self._buffer.clear()
            return self.refuse(error)
        if notifier is None:
            # Who writes no more has gone, or wanted to know the structure once.
            self.closed |= self._eof
            return None
        targets = self.options.registry.targets.items()
        self._form = Form(notifier, {name: units_of(target) for name, target in targets})
        return Request("link.subscribe", {"kinds": ["state"]}, form=self._form)

    def _take_name(self) -> Notifier | None:
        """The notifier that is named, where its name is there as a whole."""
        # Before it stands `MAGIC`, or this wire would not have been chosen.
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
        return NOTIFIERS[name]

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        form: Form | None = request.form
        if form is None or reply.error is not None:
            return b""
        struct: dict[str, Any] = {}
        for name, told in reply.result["instruments"].items():
            struct.update(form.notifier.part(name, told["state"], form.units[name]))
        return _line({"action": "init", "struct": struct})

    def note_reply(self, request: Request, reply: Reply) -> None:
        if self._form is None or reply.error is not None:
            self.closed = True
            return
        self._told = Told(self._form, reply.result["instruments"])
        self._go_on(self._tell(self._told))

    @staticmethod
    def can_push(request: Request) -> bool:
        return request.form is not None

    def encode_event(self, event: Event) -> bytes:  # type: ignore[override]
        """Write what this subscriber does not know yet, once it knows the structure.

        What is long is `unfinished`: the rest comes in the connection's next turns.
        """
        if event.kind != "state":
            return b""
        if event.subject in self._waiting and event.later is not None:
            event = event.later()
        self._waiting[event.subject] = event
        if self._told is not None and not self.unfinished:
            self._go_on(self._tell(self._told))
        return self.data_to_send()

    def _tell(self, told: Told) -> Slices[None]:
        """Write what is new, and what becomes new meanwhile."""
        size = 0
        while self._waiting:
            for line in told.news(self._waiting.pop(next(iter(self._waiting)))):
                self._outgoing.append(line)
                size += len(line)
                if size >= SLICE:
                    size = 0
                    yield


def units_of(instrument: Instrument) -> Units:
    """The units of the numbers in an instrument's state, and of what it reads into it."""
    readings = readings_of(type(instrument)).items()
    units = {name: reading.describe()["result"].get("unit") for name, reading in readings}
    return {**units, **instrument.state_units}


def _line(change: Mapping[str, Any]) -> bytes:
    return encode(change) + b"\n"
