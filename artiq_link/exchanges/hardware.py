"""One instrument's hardware, as its worker sees it: opened, lost, opened again, closed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ..errors import ExchangeError, HardwareLost, HardwareRestarted, InstrumentError
from ..loggers import get_logger
from ..text import clock, sentence_of

FIRST_PAUSE = 0.5
"""Seconds after which lost hardware is opened again: a cable has been pulled and put back."""

LONGEST_PAUSE = 15.0
"""Seconds between two such tries at most. Each may block its thread, and people wait for it."""

QUICK = 0.1
"""Seconds that a vain try may take, if the next command is to make one more before it is refused:
a port that is missing is told at once, and an address that nobody answers at is not."""

logger = get_logger(__name__)


def _nothing() -> None:
    pass


def _not_restored() -> bool:
    return False


class Hardware:
    """What `open_hardware` opens and `close` closes; all but `describe` in the worker's thread.

    Without `open_hardware` there is nothing that could be lost. Once it is open, `restore` sets it
    as it was, unless it was to be made safe meanwhile, and returns whether all is as it was.
    `changed` is told by `tell` that it is lost or there again. `loses` is told when what was set
    until then may be gone, and once it is there again `gone`, where it may be, what happened.
    """

    def __init__(
        self,
        name: str,
        open_hardware: Callable[[], None] | None = None,
        close: Callable[[], None] = _nothing,
        restore: Callable[[], bool] = _not_restored,
        safe_state: Callable[[], None] = _nothing,
        *,
        changed: Callable[[], None] = _nothing,
        loses: Callable[[], None] = _nothing,
        gone: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.close = close
        self._name = name
        self._open_hardware = open_hardware
        self._restore = restore
        self._safe_state = safe_state
        self._changed = changed
        self._loses = loses
        self._gone = gone
        self._is_news = False
        self._is_to_be_safe = False
        self._lost: tuple[float, str] | None = None
        self._pause = FIRST_PAUSE
        self._next_try = 0.0
        self._is_quick = True

    @property
    def is_lost(self) -> bool:
        """Whether it is lost."""
        return self._lost is not None

    @property
    def patience(self) -> float | None:
        """Seconds until it is to be opened again; None where it is not lost."""
        return None if self._lost is None else max(0.0, self._next_try - time.monotonic())

    def open(self) -> bool:
        """Open it; returns whether all is as it was set last. Raises what that raises."""
        if self._open_hardware is None:
            return True
        self._open_hardware()
        if self._is_to_be_safe:
            self.make_safe()
            return False
        return self._restore()

    def make_safe(self) -> None:
        """Put it where it may be left alone; where that fails, as soon as it is opened again."""
        self._is_to_be_safe = True
        self._safe_state()
        self._is_to_be_safe = False

    def note(self, error: ExchangeError | None) -> None:
        """Take note of what a command has come to: it may say that the hardware is lost, or that
        it was, and has lost what it was set to."""
        if isinstance(error, HardwareRestarted):
            self._loses()
            self._gone(f"its hardware was found to have restarted at {clock(time.time())}")
        is_news = isinstance(error, HardwareLost) and self._lost is None
        if is_news and self._open_hardware is not None:
            logger.error("%s: lost: %s; it is opened again by itself", self._name, error)
            self._pause = FIRST_PAUSE
            self._is_quick = True
            self._loses()
            self._lose(str(error))

    def refusal(self) -> HardwareLost | None:
        """What refuses a command while the hardware is lost.

        Where that takes no time, it is opened now: who has plugged it in need not wait.
        """
        if self._lost is not None and self._is_quick:
            pause, next_try = self._pause, self._next_try
            with contextlib.suppress(HardwareLost):
                self.reopen()
            self._pause, self._next_try = pause, next_try
        if (lost := self._lost) is None:
            return None
        return HardwareLost(f"{self._sentence(*lost)}; the command was not executed")

    def reopen(self) -> None:
        """Close it and open it again, lost or not; raises `HardwareLost` where that fails."""
        if self._open_hardware is None:
            raise InstrumentError(f"{self._name} has nothing that could be opened again")
        if self._lost is None:
            self._loses()
        since = time.time() if self._lost is None else self._lost[0]
        begun = time.monotonic()
        try:
            self.close()
        except BaseException as error:  # noqa: BLE001 it is lost
            logger.debug("%s: not closed: %s", self._name, sentence_of(error))
        try:
            is_as_it_was = self.open()
        except BaseException as error:  # noqa: BLE001 it is told
            why = sentence_of(error)
            if self._lost is None or self._lost[1] != why:
                logger.error("%s: not opened again: %s", self._name, why)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._is_quick = time.monotonic() - begun < QUICK
            self._lose(why, since)
            raise HardwareLost(f"{self._name} cannot be opened again: {why}") from None
        if not is_as_it_was:
            self._gone(f"its hardware was opened again at {clock(time.time())}")
        if self._lost is not None:
            logger.warning("%s: opened again", self._name)
            self._lost = None
            self._is_news = True

    def tell(self) -> None:
        """Tell whether it is lost, if that has changed; called between the commands."""
        if self._is_news:
            self._is_news = False
            self._changed()

    def describe(self) -> dict[str, Any]:
        """Since when and why it is lost, as `link.status` shows it; empty where it is there."""
        if (lost := self._lost) is None:
            return {}
        return {
            "state": "lost",
            "summary": self._sentence(*lost),
            "lost": {"since": lost[0], "why": lost[1]},
        }

    def _lose(self, why: str, since: float | None = None) -> None:
        former, self._lost = self._lost, (time.time() if since is None else since, why)
        self._next_try = time.monotonic() + self._pause
        self._is_news |= self._lost != former

    def _sentence(self, since: float, why: str) -> str:
        return f"{self._name}: lost since {clock(since)}: {why}; it is opened again by itself"
