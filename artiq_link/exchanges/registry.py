"""The registry: who has a command. Everything that wants to know asks it, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..errors import ExchangeError, InvalidParameter, UnknownCommand
from ..instrument.command import Command, CommandTable
from ..instrument.data import OWN_KEYS
from ..instrument.instrument import HOLD, SAFE, Instrument
from ..instrument.message import Message
from ..text import nearest_hint
from .interact_names import names_of
from .messages import Request

LINK = "link"
"""The name of the commands that the server itself answers."""

INTERACT = "interact"
"""The worker, and the target, of a server that has a function and no instrument."""

Interact = Callable[[dict[str, Any]], Any]
Fallback = Callable[[str, Any], Any]


class Route(msgspec.Struct, frozen=True):
    """The way of one command."""

    call: Callable[[Request], Any]
    """Runs it."""
    worker: str | None
    """In whose thread; None: at once, on the event loop."""
    instrument: Instrument | None = None
    """Whose it is; None where it is the link's own, or at most `interact`'s."""
    command: Any = None
    """Its `Command`; None where nothing is declared of it."""

    def check(self, request: Request) -> None:
        """Raise what the command would refuse; execute nothing."""
        if self.instrument is not None:
            self.instrument.check(request.data)
        elif self.command is not None:
            self.command.convert(request.parameters)


class Registry:
    """Instruments by name, the link's own commands, the template's `interact`, and a fallback.

    With `interact`, every command of an instrument goes through it, in that instrument's worker,
    and so does what nobody declares, in the first one's. Where its text shows that it does
    nothing under a name, that name is unknown. `fallback` is asked with a name and a value for
    messages that name no command, such as COMET's, in the first one's as well.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument] | None = None,
        interact: Interact | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.interact = interact
        self.fallback = fallback
        self._names = names_of(interact)
        self.own = CommandTable()
        """The link's own commands, by the names behind ``link.``."""
        self._watching: set[str] = set()
        self._routes: dict[str, list[tuple[str, Route]]] = {}
        for name, instrument in check_instruments(instruments or {}).items():
            self.add(name, instrument)

    @property
    def targets(self) -> Mapping[str, Instrument]:
        """What can be pinged: the instruments, and where there are none, one without commands."""
        return self.instruments or _NO_INSTRUMENT

    @property
    def first(self) -> str:
        """The worker of what belongs to no instrument."""
        return next(iter(self.targets))

    def add(self, name: str, instrument: Instrument) -> None:
        """Take an instrument in, with its commands."""
        check_instruments({**self.instruments, name: instrument})
        self.instruments[name] = instrument
        instrument.link_name = name
        for own_name, command in instrument.commands.items():
            full = f"{name}.{own_name}"
            self._enter(full, full, self._route_of(name, instrument, full, command))
            self._enter(own_name, full, self._route_of(name, instrument, own_name, command))

    def add_own(self, commands: Any, worker: str | None = None, *, acts: bool = False) -> None:
        """Take in commands of the link's own, the methods of an object with a table of them.

        They run in the worker of that name, or at once: then they must not block. `acts` says
        whether they may change anything.
        """
        for name, command in type(commands).commands.items():
            self.own[name] = command

            def call(
                request: Request, command: Command[Any, Any] = command, owner: Any = commands
            ) -> Any:
                return command.run(owner, command.convert(request.parameters))

            full = f"{LINK}.{name}"
            self._enter(full, full, Route(call, worker, command=command))
            if not acts:
                self._watching.add(full)

    def route(self, request: Request) -> Route:
        """The way of a request; raises `UnknownCommand`, and `InvalidParameter`."""
        if request.is_message and self.fallback is not None:
            return self._fallback_route(self.fallback)
        found = self._routes.get(request.command_id)
        if found is None or len(found) > 1:
            return self._of_nobody(request)
        route = found[0][1]
        if (
            self._names.are_all
            and route.instrument is not None
            and self._seen_name(route.command, request.command_id) not in self._names.names
        ):
            # `interact` would do nothing, and what is not executed is no success.
            raise self.unknown(request.command_id)
        return route

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._routes

    def is_named(self, command_id: str) -> bool:
        """Whether a command has the name, or `interact` has it in its text."""
        return command_id in self._routes or command_id in self._names.names

    def __iter__(self) -> Iterator[str]:
        """All names under which a command can be asked for."""
        return iter(self._routes)

    def acts(self, command_id: str) -> bool:
        """Whether a command, or what is asked for under its name, may change anything.

        It may, unless it is one of the link's own that only watch.
        """
        return command_id not in self._watching

    def instrument_of(self, command_id: str) -> str | None:
        """The name of the one instrument that has the command; None where none or several do."""
        found = self._routes.get(command_id, ())
        return found[0][1].worker if len(found) == 1 and found[0][1].instrument else None

    def target_of(self, request: Request) -> str | None:
        """The name of the instrument in whose worker a request's command runs.

        None where that is none of them, or nobody has the command.
        """
        try:
            worker = self.route(request).worker
        except ExchangeError:
            return None
        return worker if worker in self.targets else None

    def is_only_interacts(self, command_id: str) -> bool:
        """Whether nobody but `interact` can know the command, and there is one."""
        prefix, dot, _ = command_id.rpartition(".")
        if self.interact is None or command_id in self._routes:
            return False
        if self._names.are_all and command_id not in self._names.names:
            return False
        return not dot or prefix not in {"", LINK, *self.instruments}

    def unknown(self, command_id: str) -> UnknownCommand:
        """What refuses a name that no command or more than one has, or `interact` may know."""
        owners = [full for full, _ in self._routes.get(command_id, ())]
        if len(owners) == 1:
            owner, _, name = owners[0].partition(".")
            return UnknownCommand(
                f"the server's interact does not hand {name!r} on to {owner!r}; its last line may "
                f"do so: return {owner}.interact(data)"
            )
        if owners:
            choices = " or ".join(map(repr, owners))
            return UnknownCommand(f"several instruments have {command_id!r}: say {choices}")
        if command_id in self._names.names:
            return UnknownCommand(
                f"only the server's interact knows {command_id!r}, and it declares no parameters"
            )
        return UnknownCommand.nearest(command_id, self._known)

    def no_instrument(self, name: str, where: str = "instrument") -> InvalidParameter:
        """What refuses a parameter that names none."""
        hint = nearest_hint(name, self.targets)
        return InvalidParameter(f"there is no instrument {name!r:.60}{hint}", where)

    @property
    def _known(self) -> frozenset[str]:
        """All names that anybody is known to have."""
        return self._names.names | self._routes.keys()

    def _of_nobody(self, request: Request) -> Route:
        if self.interact is None or not self.is_only_interacts(request.command_id):
            raise self.unknown(request.command_id)
        call = functools.partial(_enter_door, self.interact, request.command_id, known=self._known)
        return Route(call, self.first)

    def _fallback_route(self, fallback: Fallback) -> Route:
        def call(request: Request) -> Any:
            return fallback(request.command_id, request.parameters["value"])

        return Route(call, self.first)

    def _route_of(
        self, name: str, instrument: Instrument, command_id: str, command: Command[Any, Any]
    ) -> Route:
        door = self.interact
        if door is None and _has_own_door(instrument):
            door = instrument.interact

        def call_command(request: Request) -> Any:
            return command.run(instrument, command.convert(request.parameters))

        def call_door(request: Request) -> Any:
            assert door is not None  # noqa: S101
            seen = self._seen_name(command, command_id)
            try:
                return _enter_door(door, seen, request)
            except UnknownCommand:
                if door is not self.interact:
                    raise
                # As where it hands all on to its first instrument, and this is its second one.
                raise UnknownCommand(
                    f"the server's interact does not hand {seen!r} on to {name!r}; it may do so: "
                    f"if data['command_id'] in {name}.commands: return {name}.interact(data)"
                ) from None

        return Route(call_command if door is None else call_door, name, instrument, command)

    def _seen_name(self, command: Command[Any, Any], command_id: str) -> str:
        """The name under which `interact` sees a command: its own wherever that is enough.

        It compares names. Which ones are enough is known only once all instruments are there.
        """
        return command.name if len(self._routes[command.name]) == 1 else command_id

    def _enter(self, command_id: str, full: str, route: Route) -> None:
        self._routes.setdefault(command_id, []).append((full, route))


_NO_INSTRUMENT: Mapping[str, Instrument] = {INTERACT: Instrument()}


def _has_own_door(instrument: Instrument) -> bool:
    """Whether an instrument's class, or somebody else, has replaced `Instrument.interact`."""
    return getattr(instrument.interact, "__func__", None) is not Instrument.interact


def _enter_door(
    door: Interact, command_id: str, request: Request, known: Iterable[str] = ()
) -> Any:
    """Call `door` with a request's data, under the name that it is to see."""
    if own := OWN_KEYS & request.parameters.keys():
        # In data they would take the place of the request's own.
        name = request.command_id.rpartition(".")[2]
        raise InvalidParameter(f"{name!r:.60} has no parameter {min(own)!r}", min(own))
    return door(Message({"command_id": command_id, **request.parameters}, known))


def check_instruments(instruments: Mapping[str, Instrument]) -> Mapping[str, Instrument]:
    """Give `instruments` back; raise TypeError and ValueError for what cannot be served so.

    A name stands in ``name.command``. An instrument with two names would have two workers, and
    see two commands at a time.
    """
    if not isinstance(instruments, Mapping):
        raise TypeError('instruments: expected a dictionary, such as {"dds": dds}')
    names: dict[int, str] = {}
    for name, instrument in instruments.items():
        if not isinstance(instrument, Instrument):
            hint = "; did you forget the ()?" if isinstance(instrument, type) else ""
            raise TypeError(f"{name!r}: expected an Instrument, got {instrument!r:.80}{hint}")
        if not isinstance(instrument.commands, CommandTable):
            raise TypeError(f"{name!r}: its attribute 'commands' must not be replaced")
        for own in ("interact", "check", "describe", "open_hardware", "close", "state", "changed"):
            if not callable(getattr(instrument, own)):
                raise TypeError(f"{name!r}: its attribute {own!r} must not be replaced")
        if instrument.lease_policy not in {HOLD, SAFE}:
            raise ValueError(
                f"{name!r}: lease_policy: expected {HOLD!r} or {SAFE!r}, "
                f"got {instrument.lease_policy!r:.60}"
            )
        if name == LINK:
            raise ValueError(f"an instrument cannot be named {name!r}: the server itself is")
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"an instrument cannot be named {name!r}: letters, digits and _ only")
        if (other := names.setdefault(id(instrument), name)) != name:
            raise ValueError(f"{other!r} and {name!r} are one instrument: give it one name")
    return instruments
