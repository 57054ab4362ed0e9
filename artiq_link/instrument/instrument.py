"""Instrument: the object that owns hardware and has commands; what a lab subclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..errors import UnknownCommand
from .activity import Activity
from .command import Command, CommandTable
from .data import take_apart
from .reading import readings_of

RESERVED = frozenset(
    {"activity", "changed", "check", "close", "commands", "describe", "interact", "last_settings"}
    | {"lease_policy", "link_name", "open_hardware", "ping", "restore", "safe_state", "state"}
    | {"state_period", "state_units", "tell_change", "terminate"}
)
"""Names that are the instrument's or NDSP's own and no command can have."""

HOLD, SAFE = "hold", "safe"
"""What becomes of an instrument whose lease runs out."""


class Instrument:
    """An object that owns hardware and whose `command` methods clients may call.

    Its commands run one at a time, in the instrument's own thread. Override `close` and
    `safe_state` where the hardware needs them. No `__init__` of this class needs to be called.
    """

    link_name = ""
    """The name under which the server holds it, as in ``name.command``."""
    commands = CommandTable()
    """Its commands."""

    lease_policy: str = HOLD
    """What is done when the lease of somebody who held it runs out, because he has gone without
    a word: ``hold`` leaves it as it is, ``safe`` calls `safe_state`."""

    state_period: float | None = None
    """Seconds after which `state` is asked for again though no command came, because it moves by
    itself, as while a ramp runs; None: it does not. Looked at after each reading of the state."""

    tell_change: Callable[[], None] | None = None
    """What `changed` calls while a server holds the instrument; the server puts it here."""

    state_units: ClassVar[Mapping[str, str]] = {}
    """The units of the numbers in its state, by their names, such as ``{"frequency": "Hz"}``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.commands = CommandTable.of(cls)
        if taken := RESERVED & (cls.commands.keys() | readings_of(cls).keys()):
            name = min(taken)
            kind = "command" if name in cls.commands else "reading"
            raise TypeError(
                f"{cls.__name__}.{name} cannot be a {kind}: the name is the link's own; "
                f"choose another, such as '{name}_{cls.__name__.lower()}'"
            )

    def interact(self, data: dict[str, Any]) -> Any:
        """Run the command that `data` asks for and return its result.

        `data` is the object of one exchange: ``command_id`` with the parameters beside it. The
        result of an ``async def`` command is its coroutine, which the link awaits. Raises
        `UnknownCommand`, `InvalidParameter`, `OutOfRange`, and what the command raises.
        """
        command, values = self._resolve(data)
        return command.run(self, values)

    def check(self, data: dict[str, Any]) -> None:
        """Raise what `interact` would raise before it touched hardware; execute nothing."""
        command, values = self._resolve(data)
        command.check(self, values)

    def _resolve(self, data: dict[str, Any]) -> tuple[Command[Any, Any], dict[str, Any]]:
        command_id, parameters, _ = take_apart(data)
        prefix, _, name = command_id.rpartition(".")
        if prefix not in {"", self.link_name}:
            raise UnknownCommand.nearest(command_id, self.commands)
        return self.commands.resolve(name, parameters)

    def describe(self) -> dict[str, Any]:
        """What the instrument is and its commands, as `link.describe` shows them."""
        readings = {name: each.describe() for name, each in readings_of(type(self)).items()}
        return {
            "doc": inspect.cleandoc(type(self).__doc__ or ""),
            "commands": self.commands.describe(),
            **({"readings": readings} if readings else {}),
            **({"state_units": dict(self.state_units)} if self.state_units else {}),
        }

    def open_hardware(self) -> None:
        """Take hold of the hardware, and find out what it does; its outputs stay as they are.

        Called in the instrument's thread, before the first command and after the server has its
        port: a second server that is started by mistake never touches the hardware. Raises
        `InstrumentError` where it does not answer; the server then does not start. Where the
        hardware is lost later, it is called again, each time after `close`.
        """

    def close(self) -> None:
        """Release the hardware. Called after the last command, when the server stops.

        It is called as well where `open_hardware` raised, and before hardware that was lost is
        opened again.
        """

    def safe_state(self) -> None:
        """Put the hardware where it may be left alone. Called, in the instrument's thread, when a
        lease runs out and `lease_policy` says so.
        """

    def activity(self) -> Activity | None:
        """What the hardware goes on doing by itself now that its command has ended, such as a
        ramp of 30 s; None: nothing that is known.

        Asked on the event loop, also while a command runs: it looks at plain values, and neither
        waits nor touches hardware. Those who watch are told of it after each `state_period`, or
        each second where there is none, until it is None.
        """
        return None

    def last_settings(self) -> Any:
        """What the hardware is set to now, as values that JSON has, for `restore`.

        Asked in the instrument's thread after each command; it touches no hardware, and is quick.
        """
        return None

    def restore(self, settings: Any) -> None:
        """Set the hardware to what `last_settings` gave in an earlier start of the server.

        Called in the instrument's thread after `open_hardware`, where the server was asked to
        restore. Checks all values against today's limits, sets those that are within, and raises
        `OutOfRange` or `InvalidParameter` that names the others.
        """

    def state(self) -> Any:
        """What is known of the instrument, as an object of JSON values, for those who watch it.

        Asked in the instrument's thread after commands and after `changed`, while somebody
        watches; it touches no hardware, and is quick. What is not known is None, and where
        nothing is to be shown at all, so is the whole.
        """
        return None

    def changed(self) -> None:
        """Say that `state` has changed by itself, or in the middle of a command; from any thread.

        Costs nothing while nobody watches, and does nothing where no server holds the instrument.
        """
        if (tell := self.tell_change) is not None:
            tell()
