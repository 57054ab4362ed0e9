"""What is known of an instrument: its newest state, and those before it for who missed some."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import msgspec

from .merge_patch import difference
from .messages import Event
from .state_reader import Found

KEPT = 32
"""States before the newest that are kept, so that a listener that comes again gets what it has
missed."""

MAX_KEPT = 256 * 1024
"""Characters of them, for each instrument."""


class State(msgspec.Struct, frozen=True):
    """What is known of an instrument."""

    version: int = 0
    """Grows with each change; 0: it was never read."""
    time: float | None = None
    """Since when it is known, in s since the epoch."""
    value: Any = None
    """As JSON has it."""
    error: str | None = None
    """Why there is none, for people."""

    def describe(self) -> dict[str, Any]:
        """As it is told."""
        told = {"version": self.version, "time": self.time, "state": self.value}
        return told if self.error is None else {**told, "error": self.error}

    def patch_since(self, former: State) -> dict[str, Any] | None:
        """What has changed, as a merge patch, where one can say it."""
        if self.error is not None or former.error is not None:
            return None
        return difference(former.value, self.value)


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener knows from before: states by their versions, of one start of the server."""

    boot: str
    versions: dict[str, int] = {}


class KnownStates:
    """The newest state of the instrument of this name, and those before it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._former: deque[tuple[State, int]] = deque(maxlen=KEPT)
        self._size = 0
        self._newest_size = 0
        self.newest = State()
        self._whole: Event | None = None

    def take(self, found: Found) -> Event:
        """Put a new state in the place of the newest; returns what tells of it."""
        former = self.newest
        self._keep_former(len(found.text))
        self.newest = State(former.version + 1, time.time(), found.value, found.error)
        self._whole = None
        if found.patch is None:
            return self.whole()
        newest = self.newest
        content = {"version": newest.version, "time": newest.time, "patch": found.patch}
        return Event("state", self._name, content, self.whole, newest.version)

    def whole(self) -> Event:
        """What tells of the newest state to those who know nothing of those before."""
        if self._whole is None:
            told = self.newest.describe()
            self._whole = Event("state", self._name, told, self.whole, self.newest.version)
        return self._whole

    def since(self, version: int) -> dict[str, Any] | None:
        """The newest, as it is told to who knows the state of a version; None: he knows it."""
        if version == self.newest.version:
            return None
        for state, _ in self._former:
            if state.version == version and (patch := self.newest.patch_since(state)) is not None:
                return {"version": self.newest.version, "time": self.newest.time, "patch": patch}
        return self.newest.describe()

    def _keep_former(self, size: int) -> None:
        if len(self._former) == KEPT:
            self._size -= self._former[0][1]
        self._former.append((self.newest, self._newest_size))
        self._size += self._newest_size
        self._newest_size = size
        while self._size > MAX_KEPT:
            self._size -= self._former.popleft()[1]
