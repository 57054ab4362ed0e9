"""The experiment's devices: an instrument of the link as an entry of ARTIQ's device database.

`LinkDevice` is for any instrument, `DDSLink` has typed methods for the DDS. Beside link_client.py
and ARTIQ this file needs nothing, and Python 3.7 is enough: where the package cannot be
installed (ARTIQ 5 to 7), copy the two files to where ARTIQ's Python finds them.

::

    LinkError               as in link_client; each names device and command
      ConnectFailed, NoReply, LeaseLost
      ServerFailed
        DeviceFailed        the server said no, and why
      QueueFull             more was posted than the queue takes
"""

# ARTIQ's compiler reads the annotations of RPCs, so they are objects here and not texts, and no
# newer than Python 3.7.
# ruff: noqa: UP006, UP007, UP035, UP045

import collections
import copy
import inspect
import logging
import math
import os
import re
import threading
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Deque,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
)

try:
    from . import link_client
except ImportError:  # the two files were copied without the package
    import link_client  # type: ignore[import-not-found,no-redef]

if TYPE_CHECKING:
    from typing import TypeAlias

    TBool = bool
    TFloat = float
    TNone: TypeAlias = None
    TTone = Tuple[float, float, float]
    TRamp = Tuple[float, float, float]

    _Function = TypeVar("_Function", bound=Callable[..., Any])

    def host_only(function: _Function) -> _Function: ...
    def rpc(*, flags: Set[str]) -> Callable[[_Function], _Function]: ...
else:
    try:
        from artiq.language.core import host_only, rpc
        from artiq.language.types import TBool, TFloat, TNone, TTuple

        TTone = TRamp = TTuple([TFloat, TFloat, TFloat])
    except ImportError:  # no kernel can call the methods then, so nothing has to be told of them
        TBool = TFloat = TNone = TTone = TRamp = None

        def host_only(function):
            return function

        def rpc(*, flags):
            return lambda function: function


QUEUE_LENGTH = 10_000
"""Posted commands that may wait: ten scans of a thousand points, some seconds of exchanges."""

RETRIES = 10
"""Times that a command is repeated whose connection was lost; within some seconds, as long as
``timeout`` allows."""

GRACE = 0.1
"""Seconds; a client's call may take a little longer than its timeout, closing waits for that."""

MAX_SHOWN = 5
"""Requests that one error or warning lists; a plan that is wrong is wrong a thousand times."""

MAX_CHECKED = 10_000
"""Requests that a server checks in one exchange."""

IDLE_TIME = 10.0
"""Seconds after the last posted command for which its connection is kept: longer than most points
of a scan, shorter than what firewalls forget."""

EXCEPTIONS, CALLBACKS = "exceptions", "callbacks"

_log = logging.getLogger("artiq_link.device")

_Channel = Union[int, str]
_Reply = Dict[str, Any]


class DeviceFailed(link_client.ServerFailed):
    """The server's refusal or failure of a device's command; ``error`` names both.

    ARTIQ makes an exception that comes out of a kernel anew from its message alone
    (``artiq.coredevice.comm_kernel``): ``code`` and ``error`` are then read from the message,
    ``where`` and ``reply`` are lost. A kernel's ``except`` has to name this very class.
    """

    def __init__(
        self,
        code: str,
        error: Optional[str] = None,
        where: Optional[str] = None,
        reply: Optional[_Reply] = None,
    ) -> None:
        if error is None:
            code, _, error = code.partition(": ")
        super().__init__(code, error, where, reply)


class QueueFull(link_client.LinkError):
    """A command could not be posted, and was not sent: too many are waiting."""


class _Outcome(NamedTuple):
    """What became of a command; one that was never sent has neither reply nor error."""

    command: str
    reply: Optional[_Reply] = None
    error: Optional[Exception] = None

    @property
    def succeeded(self) -> bool:
        return self.reply is not None and self.reply["status"] == "success"


class _Sender:
    """Sends posted commands in order, in a thread of its own, until one of them fails.

    They go over ``link``, which keeps its connection until nothing has been posted for a while.
    What stands behind the first failure is not sent, so that a dead server costs one timeout
    and not one for each command; after its outcomes have been taken it starts afresh.
    """

    def __init__(
        self,
        perform: Callable[[str, Dict[str, Any]], _Outcome],
        link: link_client.Link,
        length: int,
        keep_successes: bool,
    ) -> None:
        self._perform = perform
        self._link = link
        self._length = length
        self._keep_successes = keep_successes
        self._changed = threading.Condition()
        self._waiting: Deque[Tuple[str, Dict[str, Any]]] = collections.deque()
        self._outcomes: Deque[_Outcome] = collections.deque()
        self._busy = False
        self._failed = False
        self._unsent = 0
        self._closed = False
        self._thread: Optional[threading.Thread] = None

    def put(self, command: str, parameters: Dict[str, Any]) -> bool:
        """Queue a command; False where the queue is full."""
        with self._changed:
            if self._failed:
                self._unsent += 1
                return True
            if len(self._waiting) + len(self._outcomes) >= self._length:
                return False
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="artiq_link posted commands", daemon=True
                )
                thread.start()  # where that fails, nothing waits for a thread that is not there
                self._thread = thread
            self._waiting.append((command, parameters))
            self._changed.notify_all()
            return True

    def take(self) -> Tuple[List[_Outcome], int]:
        """Wait until nothing is on its way, and start afresh.

        Gives the outcomes not yet taken, of which only the last can be a failure, and how many
        commands were not sent because of it.
        """
        with self._changed:
            self._changed.wait_for(self._is_idle)
            outcomes, unsent = list(self._outcomes), self._unsent
            self._outcomes.clear()
            self._unsent = 0
            self._failed = False
            return outcomes, unsent

    def close(self, timeout: float) -> int:
        """Give what waits at most ``timeout`` seconds; gives how many commands were not sent."""
        with self._changed:
            self._changed.wait_for(self._is_idle, timeout)
            unsent = self._unsent + len(self._waiting)
            self._waiting.clear()
            self._unsent = 0
            self._closed = True
            self._changed.notify_all()
            return unsent

    def _is_idle(self) -> bool:
        return not self._busy and not self._waiting

    def _run(self) -> None:
        while self._wait_for_a_command():
            with self._link:
                while self._wait_for_a_command(IDLE_TIME):
                    self._perform_next()

    def _wait_for_a_command(self, timeout: Optional[float] = None) -> bool:
        """Whether a command waits, at the latest after ``timeout`` seconds or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            return bool(self._waiting)

    def _perform_next(self) -> None:
        with self._changed:
            if not self._waiting:  # the device was closed meanwhile
                return
            command, parameters = self._waiting.popleft()
            self._busy = True
        outcome = self._perform(command, parameters)
        with self._changed:
            self._busy = False
            if not outcome.succeeded:
                self._failed = True
                self._unsent += len(self._waiting)
                self._waiting.clear()
            if self._keep_successes or not outcome.succeeded:
                self._outcomes.append(outcome)
            if not self._waiting:
                self._changed.notify_all()


class LinkDevice:
    """Any instrument of a link server, as a local device of an experiment.

    In the device database::

        "shutters": {
            "type": "local",
            "module": "artiq_link.artiq_device",
            "class": "LinkDevice",
            "arguments": {"host": "192.168.1.20", "port": 65432, "timeout": 2.0},
        }

    ``timeout`` is in seconds and covers a whole exchange. ``instrument`` is the instrument's name
    where the server holds several that have the same commands. ``queue_length`` is how many
    posted commands may wait. ``name`` is what errors call the device; without it, its key in the
    device database.

    A command whose connection was lost is repeated up to ``retries`` times, within ``timeout``;
    the server knows it again and executes it once. With ``retries``, a server that has answered
    before and takes no connection is tried until ``timeout`` is up.

    ``on_restart`` says what becomes of a command where the server has started anew, or the
    hardware was lost and is there again, and what was set before may be gone: ``"raise"`` (it is
    not executed, nor is any after it: `DeviceFailed` with the code ``restarted``), ``"warn"``,
    ``"ignore"``, or a function, as for `link_client.Link`.

    A server that wants a certificate is given ``simple_ssl_config`` as in a controller's entry:
    ``{"server_cert": ..., "client_cert": ..., "client_key": ...}``, files of the master, in whose
    names ``{ARTIQ_SSL_DIR}`` is the environment variable. For one that wants a token, it stands
    in ``token_file``, a file of the master: the device database itself is shown to everyone.

    With ``exclusive``, the experiment holds the instrument from its first command until ``run()``
    has ended: it has a lease, under the name of its RID, and the commands of all others are
    refused. Where somebody else holds it, the first command fails (`DeviceFailed` with the code
    ``leased``). Where the lease is lost, because the experiment was suspended for too long, say,
    each command after that raises `LeaseLost` and is not executed.

    A server that does not answer when the experiment is built is an error then
    (`ConnectFailed`, `NoReply`), or, with ``best_effort``, a warning; later calls then raise
    unless it has come up.

    ``on_fail`` says what a command that fails does: ``"exceptions"`` raises `DeviceFailed` where
    the server said no, `ConnectFailed` where it cannot be reached and `NoReply` where no valid
    reply came in time. With ``"callbacks"`` exactly one of three functions is called for each
    command, once, in the experiment's own thread: ``server_success(reply)``,
    ``server_fail(reply)`` or ``fail_connect()``. The experiment sets them as attributes of the
    device; those left None are not called. What cannot be sent at all is a TypeError or a
    ValueError in either case, and `check` and `batch` always raise.
    """

    kernel_invariants: ClassVar[Set[str]] = {"name", "host", "port", "timeout"}

    server_success: Optional[Callable[[_Reply], object]] = None
    server_fail: Optional[Callable[[_Reply], object]] = None
    fail_connect: Optional[Callable[[], object]] = None

    def __init__(  # noqa: PLR0917
        self,
        dmgr: Any,
        host: Optional[str] = None,
        port: Optional[int] = None,
        timeout: float = link_client.DEFAULT_TIMEOUT,
        best_effort: bool = False,
        on_fail: str = EXCEPTIONS,
        instrument: Optional[str] = None,
        queue_length: int = QUEUE_LENGTH,
        name: Optional[str] = None,
        retries: int = RETRIES,
        on_restart: Union[str, Callable[[], object]] = link_client.RAISE,
        simple_ssl_config: Optional[Dict[str, str]] = None,
        token_file: Optional[str] = None,
        exclusive: bool = False,
    ) -> None:
        given = {
            "host": host,
            "port": port,
            "timeout": timeout,
            "best_effort": best_effort,
            "on_fail": on_fail,
            "instrument": instrument,
            "queue_length": queue_length,
            "retries": retries,
            "on_restart": on_restart,
            "simple_ssl_config": simple_ssl_config,
            "token_file": token_file,
            "exclusive": exclusive,
        }
        self.name = name or _find_key(dmgr, type(self), given)
        missing = [argument for argument in ("host", "port") if given[argument] is None]
        if host is None or port is None:
            raise ValueError(
                f"{self.name}: no {' and no '.join(missing)}; give it among the arguments of the "
                "device database's entry"
            )
        if on_fail not in {EXCEPTIONS, CALLBACKS}:
            raise ValueError(
                f"{self.name}: on_fail: expected {EXCEPTIONS!r} or {CALLBACKS!r}, got {on_fail!r}"
            )
        if not isinstance(queue_length, int) or queue_length < 1:
            raise ValueError(
                f"{self.name}: queue_length: expected a whole number from 1, got {queue_length!r}"
            )
        try:
            self.timeout = link_client.Deadline(timeout).timeout
        except (TypeError, ValueError) as error:
            raise self._named("", error) from None
        self.host = host
        self.port = port
        self.instrument = instrument
        self._callbacks = on_fail == CALLBACKS
        self._queue_length = queue_length
        self._closed = False
        # What was posted, is done, and has not been told of yet.
        self._untold: Deque[_Outcome] = collections.deque()
        self._unsent = 0
        self._telling = False
        rid = _rid(dmgr, self.name)
        members: Dict[str, Any] = {} if rid is None else {"rid": rid}
        try:
            ssl = None if simple_ssl_config is None else _ssl_files(simple_ssl_config)
            if token_file is not None:
                members["token"] = _read_token(token_file)
        except ValueError as error:
            raise self._named("", error) from None
        self._link, self._posting_link = (
            link_client.Link(host, port, self.timeout, members or None, retries, on_restart, ssl)
            for _ in range(2)
        )
        self._posting_link.restarts = self._link.restarts
        self._exclusive = exclusive
        self._owner = None if rid is None else f"RID {rid}"
        self._holding = threading.Lock()
        self._sender = _Sender(
            self._perform_posted, self._posting_link, queue_length, self._callbacks
        )
        self._find_instrument(best_effort)

    @host_only
    def call(self, command_id: str, **parameters: Any) -> Any:
        """Execute a command and return its result, after all that was posted before it.

        Raises what `flush` raises, and is not sent then. With callbacks the result of a command
        that failed is None.
        """
        self._tell(before=command_id)
        outcome = self._perform(self._link, command_id, parameters)
        if self._callbacks and outcome.error is not None:
            _log.warning("%s", self._named(outcome.command, outcome.error))
        return self._settle(outcome)

    @rpc(flags={"async"})
    def post(self, command_id: str, **parameters: Any) -> TNone:
        """Have a command executed, and return at once; what is posted is sent in order.

        After a failure, nothing is sent until `flush` has told of it. Raises `QueueFull`, and
        RuntimeError after `close`.
        """
        if self._closed:
            raise RuntimeError(f"{self.name}: {command_id}: not posted, the device is closed")
        try:
            copied = copy.deepcopy(parameters)  # the experiment may change its lists meanwhile
        except TypeError as error:
            raise TypeError(f"{self.name}: {command_id}: not posted: {error}") from None
        if not self._sender.put(command_id, copied):
            raise QueueFull(
                f"{self.name}: {command_id}: not posted, {self._queue_length} commands are "
                "waiting already; call flush() in between, or give a larger queue_length"
            )

    def flush(self) -> TNone:
        """Wait until all that was posted is done.

        Raises what the first failure was, naming its command and how many behind it were not
        sent. With callbacks they are called here, in the order of the commands; for those not
        sent it is ``fail_connect``. What a callback posts is left to the next `flush`, and what
        it raises comes out here: the next `flush` goes on with the others.
        """
        self._tell()

    @host_only
    def check(self, requests: Sequence[Dict[str, Any]]) -> None:
        """Have a plan checked: commands, types, units and limits, in one exchange.

        ``requests`` are as for `send_data`: ``{"command_id": "set_frequency", "channel": 0,
        "frequency": 80e6}``. Nothing is executed; a plan of more than `MAX_CHECKED` takes several
        exchanges. Raises one `DeviceFailed` that names the first requests that would be refused;
        its ``reply["refused"]`` has all of them, by index. A command that only the server's
        ``interact`` can know cannot be checked, be it misspelt or not; a warning names it.
        """
        plan = self._plan("check", requests)
        verdicts: List[Dict[str, Any]] = []
        for start in range(0, len(plan), MAX_CHECKED):
            verdicts += self._check_slice(plan[start : start + MAX_CHECKED], start)
        unchecked = [verdict for verdict in verdicts if verdict["status"] == "unchecked"]
        if unchecked:
            self._judge_unchecked(unchecked)
        refused = {
            index: verdict for index, verdict in enumerate(verdicts) if verdict["status"] == "fail"
        }
        if refused:
            listed = _listed(
                [
                    f"requests[{index}]: {verdict.get('command_id', '?')}: {verdict['error']}"
                    for index, verdict in refused.items()
                ]
            )
            first = next(iter(refused.values()))
            raise DeviceFailed(
                first["code"],
                f"{self.name}: {len(refused)} of {len(verdicts)} requests would be refused: "
                f"{listed}",
                first.get("where"),
                {**first, "refused": refused},
            )

    @host_only
    def batch(self, requests: Sequence[Dict[str, Any]]) -> List[Any]:
        """Execute a plan in order, in one exchange, and return the results.

        ``requests`` are as for `check`, and all are checked before the first is executed. It
        comes after all that was posted before, raises what `flush` raises, and is not sent then.
        Nothing is executed in between on an instrument, and nothing behind a request that fails.

        Raises one `DeviceFailed`, with callbacks too, that names the first request that failed;
        its ``reply["replies"]`` has the replies to all that were executed. With ``code`` and
        ``error`` of the refusal where the plan was refused as a whole: then nothing was.
        """
        plan = self._plan("batch", requests)
        self._tell(before="batch")
        try:
            self._hold()
            replies = self._link.batch(plan)
        except (link_client.LinkError, TypeError, ValueError) as error:
            raise self._named("batch", error) from None
        for index, reply in enumerate(replies):
            if reply.get("status") != "success":
                command = reply.get("command_id", "?")
                reason = reply.get("error", "the server gave no reason")
                raise DeviceFailed(
                    reply.get("code", "fail"),
                    f"{self.name}: batch: requests[{index}]: {command}: {reason}",
                    reply.get("where"),
                    {**reply, "replies": replies},
                )
        return [reply.get("result") for reply in replies]

    @host_only
    def notify_run_end(self) -> None:
        """Do as `flush`, and hold the instrument no longer; ARTIQ calls it after ``run()``."""
        try:
            self.flush()
        finally:
            self._let_go()

    @host_only
    def close(self) -> None:
        """Give what was posted ``timeout`` seconds to be done, and log what was not sent then.

        ARTIQ calls it when the experiment has ended.
        """
        self._closed = True
        unsent = self._unsent + self._sender.close(self.timeout + GRACE)
        self._let_go()
        if unsent:
            _log.error("%s: closed; not sent: %s posted before", self.name, _commands(unsent))

    def _tell(self, before: str = "") -> None:
        """Do as `flush`, ``before`` a command that is not sent where this raises."""
        outcomes, unsent = self._sender.take()
        self._untold.extend(outcomes)
        self._unsent += unsent
        if self._telling:  # a callback's own call: whoever called the callback goes on
            return
        self._telling = True
        try:
            # What callbacks post and flush meanwhile is left to the next call.
            for _ in range(len(self._untold)):
                self._settle(self._untold.popleft(), before)
            for _ in range(self._unsent):
                self._unsent -= 1
                if self.fail_connect is not None:
                    self.fail_connect()
        finally:
            self._telling = False

    def _find_instrument(self, best_effort: bool) -> None:
        """Raise what is wrong with the server, or, with ``best_effort``, warn."""
        try:
            instruments = self._instruments()
        except link_client.LinkError as error:
            if not best_effort:
                raise self._named("", error) from error.__cause__
            _log.warning("%s", self._named("", error))
        except (TypeError, ValueError) as error:
            raise self._named("", error) from None
        else:
            if self.instrument is not None and self.instrument not in instruments:
                raise ValueError(
                    f"{self.name}: {self.host}:{self.port} has no instrument "
                    f"{self.instrument!r}; it has {', '.join(instruments)}"
                )
            if self._exclusive and self.instrument is None and len(instruments) > 1:
                raise ValueError(
                    f"{self.name}: exclusive: {self.host}:{self.port} has several instruments, "
                    f"{', '.join(instruments)}; say which with instrument"
                )

    def _hold(self) -> None:
        """Acquire the lease of an exclusive device, where it has none; raises `LinkError`."""
        if not self._exclusive or self._posting_link.held is not None:
            return
        with self._holding:
            if self._link.held is None:
                instrument = self.instrument or next(iter(self._instruments()))
                self._link.lease(instrument, self._owner).__enter__()
            self._posting_link.held = self._link.held

    def _let_go(self) -> None:
        with self._holding:
            self._posting_link.held = None
            if self._link.held is not None:
                self._link.held.__exit__()

    def _instruments(self) -> Dict[str, Any]:
        """Return what the server says of its instruments, by name; raises `LinkError`."""
        cause: Optional[Exception] = None
        try:
            status = self._link.call("link.status")
        except link_client.NoReply as error:
            status, cause = None, error
        if not isinstance(status, dict) or not isinstance(status.get("instruments"), dict):
            # What other programs do with a request is of no use: a web server, for one, waits.
            raise link_client.NoReply(
                f"what listens on {self.host}:{self.port} did not answer as a link server does "
                f"within {self.timeout:g} s; check that host and port are those of a link server"
            ) from cause
        instruments: Dict[str, Any] = status["instruments"]
        return instruments

    def _check_slice(self, requests: List[Dict[str, Any]], start: int) -> List[Dict[str, Any]]:
        """Return the verdicts on the requests of a plan that begin with number ``start``."""
        try:
            verdicts: List[Dict[str, Any]] = self._link.call("link.check", requests=requests)
        except link_client.LinkError as error:
            half = len(requests) // 2
            if half and getattr(error, "code", "") == "too_large":
                verdicts = self._check_slice(requests[:half], start)
                return verdicts + self._check_slice(requests[half:], start + half)
            raise self._named("check", error) from None
        except (TypeError, ValueError) as error:
            named = self._named("check", error)
            sentence = re.sub(
                r"(?<=requests\[)\d+",
                lambda index: str(start + int(index.group())),
                str(named),
                count=1,
            )
            raise type(named)(sentence) from None
        return verdicts

    def _judge_unchecked(self, verdicts: List[Dict[str, Any]]) -> None:
        doubts = list(dict.fromkeys(verdict["error"] for verdict in verdicts))
        _log.warning(
            "%s: check: not checked, because at most the server's interact knows them: %s",
            self.name,
            _listed(doubts),
        )

    def _plan(self, what: str, requests: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
        try:
            return [self._addressed(request) for request in requests]
        except TypeError as error:
            raise TypeError(f"{self.name}: {what}: expected a list of requests: {error}") from None

    def _addressed(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Return the request with the instrument's name before its command."""
        command = request.get("command_id") if isinstance(request, dict) else None
        if self.instrument is None or not isinstance(command, str) or "." in command:
            return request
        return dict(request, command_id=f"{self.instrument}.{command}")

    def _perform(
        self, link: link_client.Link, command: str, parameters: Dict[str, Any]
    ) -> _Outcome:
        try:
            self._hold()
            request = self._addressed(dict(parameters, command_id=command))
            return _Outcome(command, link.send(request))
        except link_client.ServerFailed as error:  # it does not get the instrument for itself
            return _Outcome(command, error.reply)
        except Exception as error:  # noqa: BLE001 - flush raises it; unheard it would hang there
            return _Outcome(command, None, error)

    def _perform_posted(self, command: str, parameters: Dict[str, Any]) -> _Outcome:
        """Perform a command, and say at once in the log what `flush` may tell much later."""
        outcome = self._perform(self._posting_link, command, parameters)
        if not outcome.succeeded:
            _log.warning(
                "%s; what is posted behind it is not sent before flush()", self._failure(outcome)
            )
        return outcome

    def _settle(self, outcome: _Outcome, before: str = "") -> Any:
        """Return the result, or raise the failure; with callbacks call one of them."""
        is_sendable = outcome.error is None or isinstance(outcome.error, link_client.LinkError)
        if self._callbacks and is_sendable:
            if outcome.reply is None:
                if self.fail_connect is not None:
                    self.fail_connect()
            else:
                callback = self.server_success if outcome.succeeded else self.server_fail
                if callback is not None:
                    callback(outcome.reply)
        elif not outcome.succeeded:
            unsent = self._unsent
            if not self._callbacks:  # they are told of in any case
                self._unsent = 0
            raise self._failure(outcome, unsent, before)
        return None if outcome.reply is None else outcome.reply.get("result")

    def _failure(self, outcome: _Outcome, unsent: int = 0, before: str = "") -> Exception:
        """Return the error that a failed command is for the experiment."""
        left = [f"{_commands(unsent)} posted behind it"] if unsent else []
        left += [before] if before else []
        behind = f"; not sent: {', and '.join(left)}" if left else ""
        if outcome.error is not None:
            return self._named(outcome.command, outcome.error, behind)
        reply = outcome.reply or {}
        reason = reply.get("error", "the server gave no reason")
        failed = DeviceFailed(
            reply.get("code", "fail"),
            f"{self.name}: {outcome.command}: {reason}{behind}",
            reply.get("where"),
            reply,
        )
        return _with_id(failed, reply.get("id"))

    def _named(self, command: str, error: Exception, behind: str = "") -> Exception:
        """Return the error with device and command before its sentence."""
        subject = f"{self.name}: {command}: " if command else f"{self.name}: "
        if isinstance(error, link_client.ServerFailed):
            sentence = f"{subject}{error.error}{behind}"
            return _with_id(DeviceFailed(error.code, sentence, error.where, error.reply), error.id)
        for kind in (link_client.ConnectFailed, link_client.NoReply, link_client.LeaseLost):
            if isinstance(error, kind):
                return _with_id(kind(f"{subject}{error}{behind}"), error.id)
        for wrong in (TypeError, ValueError):
            if isinstance(error, wrong):
                return wrong(f"{subject}{error}{behind}")
        return error


class DDSLink(LinkDevice):
    """A DDS behind the link. Kernels may call all but the methods that say otherwise.

    ``channel`` is a number, from 0, or a name. Frequencies are in Hz, phases in turns, amplitudes
    fractions of full scale (0 to 1), times in s. The setters wait, and return what was achieved
    after quantisation; those that begin with ``post_`` return at once. With ``on_fail =
    "callbacks"`` a method that failed returns NaN where it gives numbers, False where it gives a
    bool, and None otherwise.

    `check` refuses each command that the server does not have, as one that is misspelt: a plan for
    a DDS holds none that only the server's ``interact`` knows. `LinkDevice` takes those.
    """

    def set_frequency(self, channel: _Channel, frequency: float) -> TFloat:
        """Set a channel's frequency; returns the one achieved, in Hz."""
        return self._number("set_frequency", "frequency", channel=channel, frequency=frequency)

    def set_phase(self, channel: _Channel, phase: float) -> TFloat:
        """Set a channel's phase offset; returns the one achieved, in turns from 0 to 1."""
        return self._number("set_phase", "phase", channel=channel, phase=phase)

    def set_amplitude(self, channel: _Channel, amplitude: float) -> TFloat:
        """Set a channel's amplitude; returns the one achieved, a fraction of full scale."""
        return self._number("set_amplitude", "amplitude", channel=channel, amplitude=amplitude)

    def set_power(self, channel: _Channel, power: float) -> TFloat:
        """Set a channel's power, where it has one; returns the one achieved, in dBm."""
        return self._number("set_power", "power", channel=channel, power=power)

    def set(
        self,
        channel: _Channel,
        frequency: Optional[float] = None,
        phase: Optional[float] = None,
        amplitude: Optional[float] = None,
        phase_mode: Optional[str] = None,
        *,
        power: Optional[float] = None,
    ) -> TTone:
        """Set any of a channel's parameters in one update, the others stay as they are.

        ``phase_mode`` is "continuous" or "absolute", ``power`` is in dBm. Returns frequency, phase
        and amplitude; NaN for what is not known or the channel has not.
        """
        tone = {
            "frequency": frequency,
            "phase": phase,
            "amplitude": amplitude,
            "phase_mode": phase_mode,
            "power": power,
        }
        given = {parameter: value for parameter, value in tone.items() if value is not None}
        return _tone(self.call("set", channel=channel, **given))

    def output(self, channel: _Channel, on: bool) -> TBool:
        """Switch a channel's output; returns whether it is on."""
        return _flag(self.call("output", channel=channel, on=on), "output")

    def get_frequency(self, channel: _Channel) -> TFloat:
        """Return a channel's frequency in Hz; NaN where it is not known."""
        return self._number("get", "frequency", channel=channel)

    def get_phase(self, channel: _Channel) -> TFloat:
        """Return a channel's phase offset in turns; NaN where it is not known."""
        return self._number("get", "phase", channel=channel)

    def get_amplitude(self, channel: _Channel) -> TFloat:
        """Return a channel's amplitude; NaN where it is not known."""
        return self._number("get", "amplitude", channel=channel)

    def get_power(self, channel: _Channel) -> TFloat:
        """Return a channel's power in dBm; NaN where it is not known or has none."""
        return self._number("get", "power", channel=channel)

    def get_output(self, channel: _Channel) -> TBool:
        """Return whether a channel's output is known to be on."""
        return _flag(self.call("get", channel=channel), "output")

    def ramp(
        self,
        channel: _Channel,
        parameter: str,
        start: float,
        stop: float,
        duration: float,
    ) -> TRamp:
        """Ramp "frequency", "phase" or "amplitude" from start to stop in ``duration`` s.

        Returns start, stop and duration as they are achieved, as soon as the ramp has begun.
        """
        return _ramp(
            self.call(
                "ramp",
                channel=channel,
                parameter=parameter,
                start=start,
                stop=stop,
                duration=duration,
            )
        )

    def software_ramp(
        self,
        channel: _Channel,
        parameter: str,
        start: float,
        stop: float,
        duration: float,
        *,
        step_time: float = 0.02,
    ) -> TRamp:
        """Ramp as `ramp` does, by setting the channel each ``step_time``; returns at its end.

        The device's timeout must be longer than ``duration``.
        """
        return _ramp(
            self.call(
                "software_ramp",
                channel=channel,
                parameter=parameter,
                start=start,
                stop=stop,
                duration=duration,
                step_time=step_time,
            )
        )

    def stop(self, channel: _Channel) -> TTone:
        """End a channel's ramp or table; returns frequency, phase and amplitude then held."""
        return _tone(self.call("stop", channel=channel))

    def reset(self) -> TNone:
        """Put all channels to the hardware's power-up state, with nothing coming out of them."""
        self.call("reset")

    @rpc(flags={"async"})
    def post_frequency(self, channel: _Channel, frequency: float) -> TNone:
        """Post `set_frequency`."""
        self.post("set_frequency", channel=channel, frequency=frequency)

    @rpc(flags={"async"})
    def post_phase(self, channel: _Channel, phase: float) -> TNone:
        """Post `set_phase`."""
        self.post("set_phase", channel=channel, phase=phase)

    @rpc(flags={"async"})
    def post_amplitude(self, channel: _Channel, amplitude: float) -> TNone:
        """Post `set_amplitude`."""
        self.post("set_amplitude", channel=channel, amplitude=amplitude)

    @rpc(flags={"async"})
    def post_power(self, channel: _Channel, power: float) -> TNone:
        """Post `set_power`."""
        self.post("set_power", channel=channel, power=power)

    @rpc(flags={"async"})
    def post_output(self, channel: _Channel, on: bool) -> TNone:
        """Post `output`."""
        self.post("output", channel=channel, on=on)

    @host_only
    def get(self, channel: _Channel) -> Any:
        """Return all that is known of a channel, as a dict. Not for kernels."""
        return self.call("get", channel=channel)

    @host_only
    def set_many(self, settings: List[Dict[str, Any]]) -> Any:
        """Set several channels at the same instant; returns their tones. Not for kernels.

        ``settings`` are like ``{"channel": 0, "frequency": 80e6, "phase": 0.25}``.
        """
        return self.call("set_many", settings=settings)

    @host_only
    def play(
        self, channel: _Channel, steps: List[Dict[str, Any]], repeat: Union[int, bool] = 1
    ) -> Any:
        """Play a table; returns it as achieved, a dict. Not for kernels.

        ``steps`` are like ``{"dwell": 1e-3, "frequency": 80e6}``. ``repeat`` is how many times
        they are played, or True: until the channel is stopped or set.
        """
        return self.call("play", channel=channel, steps=steps, repeat=repeat)

    @host_only
    def waveform(self, channel: _Channel, samples: int, rate: float) -> Any:
        """Return a channel's output from now on, full scale being 1. Not for kernels.

        It is an array of float64: ``samples`` values, ``rate`` of them a second.
        """
        return self.call("waveform", channel=channel, samples=samples, rate=rate)

    def _judge_unchecked(self, verdicts: List[Dict[str, Any]]) -> None:
        for verdict in verdicts:
            verdict.update(status="fail", code="unknown_command")

    def _number(self, command: str, key: str, **parameters: Any) -> float:
        return _value(self.call(command, **parameters), key)


_Error = TypeVar("_Error", bound=link_client.LinkError)


def _with_id(error: _Error, request_id: Any) -> _Error:
    error.id = request_id
    return error


def _value(result: Optional[Dict[str, Any]], key: str) -> float:
    """Return a number of the result; NaN where there is no result, or the number is not known."""
    value = None if result is None else result.get(key)
    return math.nan if value is None else float(value)


def _flag(result: Optional[Dict[str, Any]], key: str) -> bool:
    return result is not None and result[key] is True


def _tone(result: Optional[Dict[str, Any]]) -> Tuple[float, float, float]:
    return _value(result, "frequency"), _value(result, "phase"), _value(result, "amplitude")


def _ramp(achieved: Optional[Dict[str, Any]]) -> Tuple[float, float, float]:
    return _value(achieved, "start"), _value(achieved, "stop"), _value(achieved, "duration")


def _commands(number: int) -> str:
    return "1 command" if number == 1 else f"{number} commands"


def _listed(sentences: List[str]) -> str:
    """Return the first `MAX_SHOWN` sentences on one line, and how many more there are."""
    more = [f"and {len(sentences) - MAX_SHOWN} more"] if len(sentences) > MAX_SHOWN else []
    return "; ".join(sentences[:MAX_SHOWN] + more)


def _find_key(dmgr: Any, device: type, given: Dict[str, Any]) -> str:
    """Return the device's key in the device database, or its class where that cannot be told."""
    entries: Dict[str, Any] = getattr(dmgr, "get_device_db", dict)()
    candidates = {
        key: entry.get("arguments", {})
        for key, entry in entries.items()
        if isinstance(entry, dict)  # a text is an alias
        and (entry.get("module"), entry.get("class")) == (device.__module__, device.__name__)
    }
    parameters = inspect.signature(LinkDevice).parameters
    for key, arguments in candidates.items():
        if all(
            arguments.get(argument, parameters[argument].default) == value
            for argument, value in given.items()
        ):
            return str(key)
    # ARTIQ may override arguments of the database for one run.
    return str(next(iter(candidates))) if len(candidates) == 1 else device.__name__


def _ssl_files(config: Dict[str, str]) -> List[str]:
    """Return the files of ARTIQ's ``simple_ssl_config`` in the order of `link_client`."""
    names = ("client_cert", "client_key", "server_cert")
    if not isinstance(config, dict) or set(config) != set(names):
        raise ValueError(f"simple_ssl_config: expected a dict of {', '.join(names)}")
    files = [config[name] for name in names]
    if any("{ARTIQ_SSL_DIR}" in file for file in files):
        folder = os.environ.get("ARTIQ_SSL_DIR")
        if not folder:
            raise ValueError("simple_ssl_config: the environment has no ARTIQ_SSL_DIR")
        files = [file.replace("{ARTIQ_SSL_DIR}", folder) for file in files]
    return files


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"token_file: {path}: {reason}") from None
    if len(token.split()) != 1:
        raise ValueError(f"token_file: {path}: expected one token, and nothing else")
    return token


def _rid(dmgr: Any, name: str) -> Optional[int]:
    """Return the experiment's run identifier, or None where there is no scheduler."""
    try:
        rid: Optional[int] = dmgr.get("scheduler").rid
    except Exception:  # noqa: BLE001 - ARTIQ's DeviceError, or what another dmgr raises
        _log.warning("%s: there is no scheduler, so its requests go without a RID", name)
        return None
    return rid
