"""NDSP: the remote procedure calls of ARTIQ's controllers (sipyco's ``pc_rpc``), server's side.

A client names the protocol and is told the targets; it names a target, is told the methods, and
calls them, a line each way for each call, for as long as the connection lives::

    C: ARTIQ pc_rpc
    S: {"targets": ["dds"], "description": null, "features": ["pyon_v2"]}
    C: dds pyon_v2
    S: {"__jsonclass__":["set",[["get","ping","set_frequency","terminate"]]]}
    C: {"action":"call","name":"ping","args":{"__jsonclass__":["tuple",[[]]]},"kwargs":{}}
    S: {"status":"ok","ret":true}

Targets are the instruments, methods their commands, with ``ping`` and ``terminate``, and nothing
else: no attribute can be reached. A client that does not ask for ``pyon_v2`` is spoken to in
PYON v1, as those of sipyco up to 1.9 must be.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import (
    ExchangeError,
    Expired,
    InternalError,
    InvalidParameter,
    Leased,
    Malformed,
    OutOfRange,
    Stale,
    TimedOut,
    TooLarge,
    Unauthorized,
    UnknownCommand,
)
from ..exchanges.messages import Reply, Request
from ..slices import Slices
from ..values import plain_number
from .base import Wire, WireOptions, too_large
from .pyon import SIMPLE, Version
from .pyon_v1 import V1
from .pyon_v2 import V2

MAGIC = b"ARTIQ pc_rpc\n"

PYON_V2 = "pyon_v2"

VERSIONS: Mapping[tuple[str, ...], Version] = {
    (): V1,
    (PYON_V2,): V2,
}
"""How values are written, by the features that a client asks for."""

SHORT = 4096
"""Bytes of a line that is read at once: less than 10 ms."""

MAX_NAME_LINE = 1024
"""Bytes of the line that names a target; no name is longer."""

EXCEPTIONS: dict[type[ExchangeError], type[Exception]] = {
    Malformed: ValueError,
    TooLarge: ValueError,
    UnknownCommand: AttributeError,
    InvalidParameter: ValueError,
    OutOfRange: ValueError,
    Unauthorized: PermissionError,
    Leased: PermissionError,
    Stale: PermissionError,
    Expired: TimeoutError,
    TimedOut: TimeoutError,
}
"""The built-in exceptions as which errors arrive; others are a `GenericRemoteException`."""


class _Form(NamedTuple):
    """How a reply is written."""

    pyon: Version
    lists_methods: bool = False


class NdspWire(Wire):
    """Calls of one client to one target."""

    name = "ndsp"
    carries_tokens = False

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._targets = options.registry.targets
        self._buffer = bytearray()
        self._searched = 0
        # Bytes of the line that is being read.
        self._size = 0
        self._eof = False
        self._receive_line: Callable[[bytearray], None] = self._receive_magic
        self._target: str | None = None
        self._pyon = V2
        self._form: _Form | None = None

    @property
    def buffered(self) -> int:
        return len(self._buffer) + self._size

    @property
    def awaiting(self) -> bool:
        return self._target is None or self.buffered > 0

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    @property
    def form(self) -> _Form | None:
        # There are no replies before a target is chosen; closing is the protocol's refusal.
        return self._form

    def next_request(self) -> Request | None:
        while not self.closed:
            work = self._work
            if work is None:
                try:
                    line = self._take_line()
                except TooLarge as error:
                    return self.refuse(error)  # nobody knows where the next line begins
                if line is None:
                    return None
                if len(line) > SHORT:
                    work = self._reading(line)
                elif (request := self._read(line)) is not None:
                    return request
                else:
                    continue
            request = self._go_on(work)
            if request is not None or self._work is not None:
                return request
        return None

    def _read(self, line: bytearray) -> Request | None:
        """Read a line: a request, or None where it is one of the protocol's own."""
        try:
            if self._target is None:
                self._receive_line(line)
                return None
            return self._receive_action(self._pyon.decode(line))
        except ExchangeError as error:
            return self.refuse(error, ends=self._target is None)

    def _reading(self, line: bytearray) -> Slices[Request | None]:
        """Read a long line, as `_read` does."""
        self._size = len(line)
        try:
            return self._receive_action((yield from self._pyon.reading(line)))
        except ExchangeError as error:
            return self.refuse(error, ends=False)
        finally:
            self._size = 0

    def _take_line(self) -> bytearray | None:
        """The next whole line with its newline, or None."""
        limit = MAX_NAME_LINE if self._target is None else self.options.max_text
        end = self._buffer.find(b"\n", self._searched) + 1
        if (end or len(self._buffer)) > limit:
            self._buffer.clear()
            raise too_large(limit)
        if end:
            self._searched = 0
            if end == len(self._buffer):  # no copy of what may be large
                line, self._buffer = self._buffer, bytearray()
            else:
                line = self._buffer[:end]
                del self._buffer[:end]
            return line
        self._searched = len(self._buffer)
        self.closed = self._eof
        return None

    def _receive_magic(self, line: bytearray) -> None:
        # It is `MAGIC`, or this wire would not have been chosen.
        self._receive_line = self._receive_target
        identification = {
            "targets": sorted(self._targets),
            "description": self.options.description,
            "features": [PYON_V2],
        }
        self._outgoing.append(json.dumps(identification).encode() + b"\n")

    def _receive_target(self, line: bytearray) -> None:
        target, *features = line.decode("utf-8", "replace").split()[:3] or [""]
        if target not in self._targets:
            known = ", ".join(sorted(self._targets))
            raise UnknownCommand(f"there is no target {target!r}; there are: {known}")
        if tuple(features) not in VERSIONS:
            raise Malformed(f"expected the feature {PYON_V2!r} or none, got {features}")
        self._target = target
        self._pyon = VERSIONS[tuple(features)]
        self._form = _Form(self._pyon)
        self._send({*self._targets[target].commands, *_OWN_METHODS})

    def _receive_action(self, message: Any) -> Request | None:
        # An array compared to a name is an array, whose truth nobody knows.
        action = message.get("action") if isinstance(message, dict) else None
        if isinstance(action, str) and action == "call":
            name, args, kwargs = map(message.get, ("name", "args", "kwargs"))
            if (
                isinstance(name, str)
                and isinstance(args, (list, tuple))
                and isinstance(kwargs, dict)
                and all(isinstance(key, str) for key in kwargs)
            ):
                return self._call(name, args, kwargs)
        elif isinstance(action, str) and action == "get_rpc_method_list":
            form = _Form(self._pyon, lists_methods=True)
            return Request("link.describe", {"instrument": self._target}, form=form)
        raise Malformed(
            "expected the action 'call' with name, args and kwargs, "
            "or the action 'get_rpc_method_list'"
        )

    def _call(self, name: str, args: Any, kwargs: dict[str, Any]) -> Request | None:
        assert self._target is not None  # noqa: S101
        commands = self._targets[self._target].commands
        if name == "ping":
            return Request("link.ping", {}, form=self._form)
        if name == "terminate":
            if not self.may_stop():
                raise Unauthorized("who is let in without a proof cannot end the server")
            self._send({"status": "ok", "ret": None})
            self.stops_server = True
            return None
        if name not in commands:
            raise UnknownCommand.nearest(name, [*commands, *_OWN_METHODS])
        parameters = plain_value(commands[name].bind(args, kwargs))
        return Request(f"{self._target}.{name}", parameters, form=self._form)

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        form: _Form | None = request.form
        if form is None:
            return b""
        if reply.error is not None:
            message = {"status": "failed", "exception": exception_of(reply.error)}
        elif form.lists_methods:
            message = {"status": "ok", "ret": method_list(reply.result)}
        else:
            message = {"status": "ok", "ret": reply.result}
        return form.pyon.encode(message).encode() + b"\n"

    def _send(self, message: Any) -> None:
        self._outgoing.append(self._pyon.encode(message).encode() + b"\n")


def plain_value(value: Any) -> Any:
    """Make an argument what JSON would have carried: NumPy scalars become plain numbers."""
    if type(value) in SIMPLE:
        return value
    if isinstance(value, np.generic):
        return plain_number(value)
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    return value


def exception_of(error: ExchangeError) -> dict[str, Any]:
    """Describe an error as a client of sipyco raises it again.

    A bug in a command arrives as the built-in exception that it raised; the traceback stays in
    the server's log.
    """
    if isinstance(error, InternalError) and error.__cause__ is not None:
        kind: type[BaseException] = type(error.__cause__)
    else:
        kind = EXCEPTIONS.get(type(error), type(error))
    name, message = kind.__name__, str(error)
    if not _is_raised_by_name(kind):
        name, message = "GenericRemoteException", f"{name}: {message.removeprefix(f'{name}: ')}"
    return {"class": name, "message": message, "traceback": []}


def _is_raised_by_name(kind: type[BaseException]) -> bool:
    """Whether a client can raise an exception again from its name and one text.

    It cannot raise a `UnicodeDecodeError` so, and a `SystemExit` would end it.
    """
    if getattr(builtins, kind.__name__, None) is not kind or not issubclass(kind, Exception):
        return False
    try:
        kind("")
    except TypeError:
        return False
    return True


_NO_ARGUMENTS: dict[str, Any] = {
    "args": ["self"],
    "varargs": None,
    "varkw": None,
    "defaults": None,
    "kwonlyargs": [],
    "kwonlydefaults": None,
    "annotations": {},
}

_OWN_METHODS = {
    "ping": (_NO_ARGUMENTS, "Return true, also while a command runs."),
    "terminate": (_NO_ARGUMENTS, "Stop the server."),
}


def method_list(description: Mapping[str, Any]) -> dict[str, Any]:
    """What `link.describe` says of an instrument, as NDSP lists methods."""
    methods = {
        name: (argument_spec(command["parameters"]), command["doc"])
        for name, command in description["commands"].items()
    }
    return {"docstring": description["doc"], "methods": methods | _OWN_METHODS}


def argument_spec(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A command's described parameters as `inspect.getfullargspec` names its parts, with units."""
    defaults = {each["name"]: each["default"] for each in parameters if not each["required"]}
    positional = [each["name"] for each in parameters if not each.get("keyword_only")]
    keywords = [each["name"] for each in parameters if each.get("keyword_only")]
    return {
        **_NO_ARGUMENTS,
        "args": ["self", *positional],
        "defaults": tuple(defaults[name] for name in positional if name in defaults) or None,
        "kwonlyargs": keywords,
        "kwonlydefaults": {name: defaults[name] for name in keywords if name in defaults} or None,
        "annotations": {each["name"]: each["unit"] for each in parameters if "unit" in each},
    }
