"""An NDSP controller of ARTIQ as an instrument: its methods are the commands.

So the controllers of M-Labs and others come to clients that speak no NDSP. A call that has been
sent is never sent again.

The connection is sipyco's, which hands what a controller without PYON v2 sends to `eval`: such
controllers can run code here, and are refused unless they are trusted.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
import socket
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, Any, cast

import msgspec
import numpy as np

from ..errors import InstrumentError, InvalidParameter
from ..instrument.command import Command, CommandTable
from ..instrument.instrument import RESERVED, Instrument
from ..instrument.parameter import Parameter
from ..loggers import Lines, get_logger
from ..server.addresses import format_address
from ..text import sentence_of
from ..transports.tcp import keep_alive
from ..values import encode

CONNECT_TIME = 5.0
"""Seconds for a connection, and again for each line of the greeting."""

logger = get_logger(__name__)


class NdspController(Instrument):
    """The methods of one target of an NDSP controller, as commands.

    `target` may be left out where the controller has one; `self.target` is its name then. Any
    exception of a method is an `InstrumentError` with its text, because a controller does not
    say whether it had begun. After a lost connection the next call makes a new one. What comes
    back is made plain by `plain`.

    A controller that can run code in this process, because it speaks PYON v1 only or sipyco is
    older than 1.10, is refused unless it is `trusted`.

    Raises `InstrumentError` where there is no such controller or it is refused, and ImportError
    without sipyco.
    """

    def __init__(
        self,
        host: str,
        port: int,
        target: str | None = None,
        *,
        connect_time: float = CONNECT_TIME,
        trusted: bool = False,
    ) -> None:
        self.address = format_address((host, port))
        self.target = target or ""
        self._peer = (host, port)
        self._connect_time = connect_time
        self._trusted = trusted
        self._client: Any = None
        self._closed = False
        self._calling = threading.Lock()
        try:
            client = self._connected()
            # sipyco's server does not list methods while one runs.
            _socket_of(client).settimeout(connect_time)
            doc, methods = self._methods(client)
            _socket_of(client).settimeout(None)
        except BaseException:
            self.close()
            raise
        self._doc = doc or f"The target {self.target} of the NDSP controller at {self.address}."
        self.commands = self._table(type(client), methods)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "doc": self._doc}

    def close(self) -> None:
        """Close the connection, from any thread; a call that hangs ends with `InstrumentError`."""
        self._closed = True
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):
                _socket_of(client).shutdown(socket.SHUT_RDWR)
        with self._calling:
            self._drop()

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call a method of the controller; raises `InstrumentError`."""
        with self._calling:
            client = self._connected()
            try:
                method = getattr(client, name)
            except AttributeError:
                raise InstrumentError(
                    f"the controller at {self.address} no longer has {name!r}"
                ) from None
            try:
                return plain(method(*args, **kwargs))
            # A controller's exception arrives as its own class, whichever that is.
            except BaseException as error:
                if _is_remote(error):
                    raise self._refusal(name, error) from None
                self._drop()
                if not isinstance(error, Exception):
                    raise
                trouble = "the link was closed" if self._closed else _trouble(error)
                raise InstrumentError(
                    f"lost the controller at {self.address} during {name}, which was executed "
                    f"perhaps: {trouble}"
                ) from error

    def _refusal(self, name: str, error: BaseException) -> InstrumentError:
        traceback = "".join(map(str, cast(Any, error).parent_traceback))
        logger.info("%s failed in the controller at %s:\n%s", name, self.address, Lines(traceback))
        # sipyco makes the text of a KeyError from its text, which quotes it twice.
        text = f"KeyError: {error.args[0]}" if isinstance(error, KeyError) else sentence_of(error)
        return InstrumentError(text)

    def _connected(self) -> Any:
        """The client, with a new connection where the last one has ended."""
        if self._client is not None and not _is_idle(_socket_of(self._client)):
            logger.info("the controller at %s has closed the connection", self.address)
            self._drop()
        if self._client is None and not self._closed:
            self._client = self._connect()
        if self._closed:
            raise InstrumentError(f"the connection to the controller at {self.address} is closed")
        return self._client

    def _connect(self) -> Any:
        pc_rpc, pyon = _sipyco()
        # An older one evaluates already how the controller introduces itself.
        if not self._trusted and _runs_code(pyon.decode):
            raise InstrumentError(
                "sipyco before 1.10 runs what controllers send as Python code: install a newer "
                f"one, or trust the controller at {self.address} {_HOW_TO_TRUST}"
            )
        try:
            client = pc_rpc.Client(*self._peer, None, self._connect_time)
        except Exception as error:
            raise self._no_connection(error) from error
        try:
            if not self._trusted:
                self._disarm(client)
            self.target = self._chosen(client.get_rpc_id()[0])
            client.select_rpc_target(self.target)
            connection = _socket_of(client)
            connection.settimeout(None)  # a method takes its time
            keep_alive(connection)
        except BaseException as error:
            client.close_rpc()
            if isinstance(error, InstrumentError) or not isinstance(error, Exception):
                raise
            raise self._no_connection(error) from error
        return client

    def _disarm(self, client: Any) -> None:
        """See to it that the controller can run no code here; raises `InstrumentError` if it can.

        To be called before anything is read but how the controller introduces itself: that is
        JSON for sipyco, and what comes afterwards is what the controller said that it speaks.
        """
        decode = _private(client, "decode")
        if _runs_code(decode):
            raise InstrumentError(
                f"the controller at {self.address} speaks PYON v1 only, which sipyco runs as "
                "Python code: update the controller's sipyco to 1.10 or later, or trust it "
                f"{_HOW_TO_TRUST}"
            )

        def read(line: str) -> Any:
            message = decode(line)
            if isinstance(message, dict) and message.get("status") == "failed":
                _check_exception(message["exception"]["class"])
            return message

        vars(client)["_Client__decode"] = read

    def _no_connection(self, error: Exception) -> InstrumentError:
        return InstrumentError(
            f"could not connect to the controller at {self.address}: {_trouble(error)}"
        )

    def _chosen(self, targets: list[str]) -> str:
        known = ", ".join(targets)
        if self.target in targets:
            return self.target
        if self.target:
            raise InstrumentError(
                f"the controller at {self.address} has no target {self.target!r}; it has: {known}"
            )
        if len(targets) == 1:
            return targets[0]
        raise InstrumentError(
            f"the controller at {self.address} has several targets, say which: {known}"
        )

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close_rpc()

    def _methods(self, client: Any) -> tuple[str | None, dict[str, Any]]:
        """The controller's docstring and methods: name to argument specification, docstring."""
        try:
            listing = client.get_rpc_method_list()
            return listing["docstring"], dict(listing["methods"])
        except Exception as error:
            if not _is_remote(error):
                raise self._no_connection(error) from error
            # sipyco's server fails so where annotations are text, and where they have no name.
            logger.warning(
                "the controller at %s cannot list its methods' parameters (%s): they take args "
                "and kwargs",
                self.address,
                sentence_of(error),
            )
            names = _private(client, "valid_methods")
            return None, {name: (_ANY_ARGUMENTS, None) for name in sorted(names) if name[0] != "_"}

    def _table(self, client_class: type, methods: dict[str, Any]) -> CommandTable:
        table = CommandTable()
        # sipyco's client has attributes of its own, and they hide a method of the same name.
        hidden = {name for name in methods if name in RESERVED or hasattr(client_class, name)}
        if hidden:
            logger.info(
                "%s at %s: left out, because the names are the link's or sipyco's own: %s",
                self.target,
                self.address,
                ", ".join(sorted(hidden)),
            )
        for name in methods.keys() - hidden:
            try:
                table[name] = remote_command(name, *methods[name])
            except (TypeError, ValueError) as error:
                logger.warning(
                    "%s at %s: left out: %s: %s", self.target, self.address, name, error
                )
        return CommandTable(sorted(table.items()))


_ANY_ARGUMENTS = {"args": ["self"], "varargs": "args", "varkw": "kwargs"}

_TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (bool, bytes, dict, float, int, list, np.ndarray, set, str, tuple)
}

# A default of 0 does not say that there is nothing between 0 and 1.
_TYPES_OF_DEFAULTS = {bool: bool, int: int | float, float: float, str: str}


def remote_command(name: str, spec: Mapping[str, Any], doc: str | None) -> Command[Any, Any]:
    """Make the command that calls the method `name` of a controller.

    `spec` is what `inspect.getfullargspec` says of the method, as NDSP lists it. ``*args`` is a
    parameter that takes a list, ``**kwargs`` one that takes an object. Types are those of the
    annotations and the defaults, where these say one. Raises TypeError and ValueError where a
    parameter cannot be one of a command.
    """
    names = list(spec.get("args", ()))
    if names[:1] in (["self"], ["cls"]):  # a static method has none
        del names[0]
    defaults = spec.get("defaults") or ()
    default_of = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    # sipyco writes an empty list for no dictionary, and sipyco 1.0 text for the annotations.
    default_of |= spec.get("kwonlydefaults") or {}
    annotations = spec.get("annotations")
    if not isinstance(annotations, dict):
        annotations = {}
    varargs, varkw = spec.get("varargs") or "", spec.get("varkw") or ""

    def call(controller: NdspController, /, **values: Any) -> Any:
        extra = values.pop(varargs, [])
        more = values.pop(varkw, {})
        args = []
        for parameter in names:
            if parameter in values:
                args.append(values.pop(parameter))
            elif extra:
                args.append(default_of[parameter])
            else:
                break  # those after it go by name
        if twice := values.keys() & more.keys():
            raise InvalidParameter(f"{varkw}: {min(twice)!r} was given twice", varkw)
        return controller.call(name, [*args, *extra], values | more)

    parameters = []
    for group, keyword_only in [(names, False), (spec.get("kwonlyargs", ()), True)]:
        for parameter in group:
            default = default_of.get(parameter, inspect.Parameter.empty)
            shown = _shown(default)
            # A default that is shown as another type says nothing of the parameter's own.
            alike = type(shown) is type(default)
            hint = _hint(annotations.get(parameter), default) if alike else Any
            parameters.append(Parameter(parameter, hint, shown, keyword_only))
    if varargs:
        parameters.append(Parameter(varargs, list[Any], [], keyword_only=True))
    if varkw:
        parameters.append(Parameter(varkw, dict[str, Any], {}, keyword_only=True))
    result = _TYPES.get(annotations.get("return", ""), Any)
    return Command(name, parameters, call, doc=doc or "", result=result)


def _hint(annotation: str | None, default: Any) -> Any:
    """The type hint of a parameter, from its annotation's name and its default."""
    if annotation in _TYPES:
        hint = _TYPES[annotation]
        return hint | None if default is None else hint
    if annotation:
        return Annotated[Any, msgspec.Meta(description=annotation)]
    return _TYPES_OF_DEFAULTS.get(type(default), Any)


def _shown(default: Any) -> Any:
    """A default as the description of the command can hold it."""
    if default is inspect.Parameter.empty:
        return default
    shown = plain(default)
    try:
        encode(shown)
    except (TypeError, ValueError):
        return repr(default)
    return shown


def plain(value: Any) -> Any:
    """Make a value of PYON what every dialect carries.

    Numbers of NumPy become plain ones, and arrays of numbers stay arrays. Tuples, sets and slices
    become lists (a set's in order, where it has one), complex numbers ``{"real": …, "imag": …}``,
    fractions text such as ``"1/3"``, and keys text. Bytes stay, and are base64 in JSON.
    """
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biufc" else plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        members = [plain(item) for item in value]
        with contextlib.suppress(TypeError):
            members.sort()
        return members
    if isinstance(value, slice):
        return [plain(value.start), plain(value.stop), plain(value.step)]
    if isinstance(value, complex):
        return {"real": value.real, "imag": value.imag}
    if isinstance(value, Fraction):
        return str(value)
    return value


_HOW_TO_TRUST = "(--trust-controller, or trusted=True)"


def _sipyco() -> tuple[Any, Any]:
    """sipyco's modules `pc_rpc` and `pyon`."""
    try:
        return importlib.import_module("sipyco.pc_rpc"), importlib.import_module("sipyco.pyon")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sipyco"):
            raise
        raise ImportError(
            "NDSP controllers need sipyco, which is not on PyPI: "
            "pip install git+https://github.com/m-labs/sipyco.git"
        ) from None


def _runs_code(decode: Callable[[str], Any]) -> bool:
    """Whether what reads PYON evaluates it: version 1 is Python, version 2 is JSON."""
    try:
        decode("1+1")
    except ValueError:
        return False
    return True


def _check_exception(name: str) -> None:
    """Raise ValueError for what is no exception: sipyco calls the builtin, be it `exec`."""
    kind = getattr(builtins, name, None)
    is_exception = isinstance(kind, type) and issubclass(kind, BaseException)
    if not is_exception and name != "GenericRemoteException":
        raise ValueError(f"{name!r:.60} is no exception")


def _socket_of(client: Any) -> socket.socket:
    """The client's socket: nothing else ends a call, or the time that it may take."""
    return cast(socket.socket, _private(client, "socket"))


def _private(client: Any, name: str) -> Any:
    """What sipyco's client keeps to itself and offers no other way to."""
    return vars(client)[f"_Client__{name}"]


def _is_idle(connection: socket.socket) -> bool:
    """Whether a connection lives on which nothing is due; its end would be there to be read."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.setblocking(True)
    return False


def _is_remote(error: BaseException) -> bool:
    """Whether the controller's method raised the error; sipyco's client marks it so."""
    return hasattr(error, "parent_traceback")


def _trouble(error: Exception) -> str:
    """What a peer did, from the error that its client met: ``it closed the connection``."""
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, EOFError):
        return "it closed the connection"
    return f"it does not answer as NDSP does ({type(error).__name__}: {error})"
