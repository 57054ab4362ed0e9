"""What listeners are told beside the states, while somebody listens to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .exchange import FINISHED, RUNNING, Exchange, Moment, Observer, observe, observes
from .feed import Feed
from .messages import Event
from .registry import Registry


class Works(Protocol):
    """An instrument's worker, as far as events tell of it."""

    def progress(self) -> dict[str, Any]:
        """What its command does now."""


def tell_progress(feed: Feed, name: str, worker: Works) -> None:
    """Have listeners told what an instrument's command does; from any thread."""
    feed.tell("progress", name, lambda: Event("progress", name, worker.progress()))


class Events:
    """Makes events of what happens to the exchanges of a registry's commands, for `feed`."""

    def __init__(
        self,
        registry: Registry,
        workers: Mapping[str, Works],
        feed: Feed,
        observers: dict[Moment, tuple[Observer, ...]],
    ) -> None:
        self._registry = registry
        self._workers = workers
        self._feed = feed
        self._observers = observers

    def want(self, kind: str, *, is_wanted: bool) -> None:
        """Somebody listens to a kind from now on, or nobody does any more."""
        if kind == "progress":
            observe(self._observers, self.note_progress, is_on=is_wanted)

    @observes(RUNNING, FINISHED, Moment.PROGRESS)
    def note_progress(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: a command starts, tells how far it is, or ends."""
        name = self._registry.target_of(exchange.request)
        if name is not None:
            tell_progress(self._feed, name, self._workers[name])
