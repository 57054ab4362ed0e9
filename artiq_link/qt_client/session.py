"""What the window asks of one server besides what its user sends: commands, status, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from ..link_client import Link
from .background import Background
from .exchanges import DIALECTS, NOT_SENT, Dialect, Exchange, PlainJson
from .live import Live

REFRESH = 1000
"""Milliseconds from one look at the server to the next, where it does not tell by itself."""

Proofs = tuple[Sequence[str] | None, Mapping[str, str] | None]
"""What servers are shown: the files of a certificate, the ``link`` with a token."""


class Session(QObject):
    """One server, from the click on Connect to the next one."""

    described = Signal(object)
    """Its commands, as ``link.describe`` gives them; also where it has come back."""

    told = Signal(object)
    """What it does, as ``link.status`` gives it."""

    stated = Signal(object)
    """The states of its instruments by their names."""

    failed = Signal(str)
    """Why it does not answer."""

    happened = Signal()
    """An exchange has ended; the journal has it now, or soon."""

    ticked = Signal()
    """It answers, and exchanges may have ended since the last time."""

    def __init__(
        self,
        background: Background,
        address: tuple[str, int],
        proofs: Proofs,
        chosen: Callable[[], tuple[str, float]],
        parent: QObject,
    ) -> None:
        """`chosen` gives the dialect and the timeout that the user has chosen by now."""
        super().__init__(parent)
        self._background = background
        self._proofs = proofs
        self._chosen = chosen
        self.address = address
        host, port = address
        self.dialects: dict[str, Dialect] = {
            name: dialect(host, port, *proofs) for name, dialect in DIALECTS.items()
        }
        # Not the same ones: on a WebSocket the status would wait behind the user's command.
        self._askers: dict[str, Dialect] = {
            name: dialect(host, port, *proofs)
            for name, dialect in DIALECTS.items()
            if dialect.carries_results
        }
        self._is_open = True
        self._asking = False
        self.connected = False
        self.knows: frozenset[str] = frozenset()
        """The link's own commands that the server has."""
        self._live: Live | None = None
        self._told: dict[str, Any] = {}
        self._states: dict[str, Any] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH)
        self._timer.timeout.connect(self.look)

    @property
    def peer(self) -> str:
        """The server's address, for people."""
        return str(self.dialects[PlainJson.name].peer)

    @property
    def dialect(self) -> Dialect:
        """That in which the user's commands are sent."""
        return self.dialects[self._chosen()[0]]

    def link(self) -> Link:
        """A link to the server, for what a link does best."""
        ssl, link = self._proofs
        return Link(*self.address, timeout=self._chosen()[1], link=dict(link or {}), ssl=ssl)

    def close(self) -> None:
        """Leave the server; what it still answers is not heard."""
        self._is_open = False
        self._timer.stop()
        if self._live is not None:
            self._live.close()
        for dialect in (*self.dialects.values(), *self._askers.values()):
            self._background.run(dialect.close)
        self.deleteLater()

    def look(self) -> None:
        """Ask for what is new; for all where the server did not answer the last time."""
        if self._asking or not self._is_open:
            return
        self._asking = True
        if not self.connected:  # it may come back with other commands
            self._ask("link.describe", {}, self._describe)
        else:
            self._ask("link.status", {}, self._tell)

    def ask(
        self, command_id: str, parameters: Mapping[str, Any], answered: Callable[[Any, str], None]
    ) -> None:
        """Ask for a command's result; `answered` is called with it, or with a failure."""
        self._ask(command_id, parameters, lambda e: answered(e.result, e.failure))

    def _ask(
        self,
        command_id: str,
        parameters: Mapping[str, Any],
        then: Callable[[Exchange], None],
    ) -> None:
        name, timeout = self._chosen()
        dialect = self._askers.get(name, self._askers[PlainJson.name])
        exchange = Exchange(dialect, command_id, {"command_id": command_id, **parameters})

        def answered() -> None:
            if self._is_open:  # otherwise another server has been chosen meanwhile
                then(exchange)

        self._background.run(lambda: exchange.run(timeout), answered)

    def _describe(self, exchange: Exchange) -> None:
        self._asking = False
        description = exchange.result
        if exchange.failure:
            self._fail(self._why(exchange))
        elif not isinstance(description, dict) or "instruments" not in description:
            self._fail(
                f"{self.peer} answers, but does not say what commands it has: only free JSON "
                "can be sent"
            )
        else:
            self.connected = True
            self.knows = frozenset(description.get("link", ()))
            self.described.emit(description)
            self._watch()
            self.look()

    def _watch(self) -> None:
        """Have the server tell by itself what is new; one that cannot is looked at instead."""
        if "subscribe" not in self.knows:
            self._timer.start()
        elif self._live is None:
            self._timer.stop()
            self._live = Live(self._background, self.link(), self)
            self._live.came.connect(self._take)
            self._live.ended.connect(self._look_from_now_on)

    def _look_from_now_on(self, reason: str) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
        if self._is_open:
            self._timer.start()

    def _tell(self, exchange: Exchange) -> None:
        self._asking = False
        told = exchange.result
        if exchange.failure or not isinstance(told, dict) or "instruments" not in told:
            self._fail(exchange.failure or f"{self.peer} does not say what its instruments do")
            return
        self._told = told
        self.told.emit(told)
        self.ticked.emit()
        if self._live is None and "state" in self.knows:
            self._ask("link.state", {}, self._state)

    def _state(self, exchange: Exchange) -> None:
        told = exchange.result
        if not exchange.failure and isinstance(told, dict):
            instruments = told.get("instruments", {})
            self.stated.emit({name: each.get("state") for name, each in instruments.items()})

    def _take(self, events: list[dict[str, Any]]) -> None:
        """Take what the server told by itself."""
        kinds = {event["event"] for event in events}
        for event in events:
            self._take_one(event)
        if not self.connected:
            return
        if "state" in kinds:
            self.stated.emit(self._states)
        if kinds & {"progress", "lease", "instrument"} and self._told:
            self.told.emit(self._told)
        if "exchange" in kinds:
            self.ticked.emit()
            self.happened.emit()

    def _take_one(self, event: dict[str, Any]) -> None:
        name = event.pop("instrument", None)
        kind = event.pop("event")
        does = self._told.get("instruments", {}).get(name)
        if kind == "link":
            self._note_link(event["error"])
        elif kind == "state":
            self._states[name] = event["state"]
        elif does is None:
            return
        elif kind == "instrument":
            does.clear()
            does |= event
        elif kind == "lease":
            does["lease"] = event["lease"]
        elif kind == "progress":
            does.pop("activity", None)
            does |= event
            does |= summary_of(name, does)

    def _note_link(self, lost: str | None) -> None:
        """The server is there again, perhaps with other commands; or it is not any more."""
        if lost is not None:
            self._fail(f"connection lost: {lost}; it is made again once the server is there")
        elif not self.connected:
            self._states.clear()
            self.look()

    def _fail(self, sentence: str) -> None:
        self.connected = False
        self.failed.emit(sentence)

    def _why(self, exchange: Exchange) -> str:
        """Why the server has not said what commands it has, in a sentence."""
        if self.dialect.carries_results or exchange.outcome == NOT_SENT:
            return exchange.failure
        return (
            f"{self.peer} does not say in {PlainJson.name} what commands it has, and "
            f"{self.dialect.name} cannot: only free JSON can be sent"
        )


def summary_of(name: str, does: Mapping[str, Any]) -> dict[str, str]:
    """What an instrument does in the words of ``link.status``, by what its progress tells."""
    if "lost" in does:
        return {}
    busy = does.get("command") is not None
    doing = f"busy with {does['command']}, {does['text']}" if busy else "idle"
    activity = does.get("activity")
    goes_on = f"; {activity['text']}" if activity else ""
    return {"state": "busy" if busy else "idle", "summary": f"{name}: {doing}{goes_on}"}
