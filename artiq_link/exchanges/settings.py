"""What each instrument was set to last: noted after its commands, and set again at a start."""

from __future__ import annotations

import time
from typing import Any

from ..errors import ExchangeError, HardwareLost, InstrumentError
from ..instrument.instrument import Instrument
from ..loggers import get_logger
from ..text import sentence_of
from ..values import decode, encode
from .exchange import Exchange, Moment, observes
from .journal import Journal
from .registry import Registry

DELAY = 0.01
"""Seconds from a command until what was set is noted: who sends one after the other does not wait
for that each time."""

logger = get_logger(__name__)


class Settings:
    """The settings of a registry's instruments, in the file of `journal`.

    With `restores` each is given back what it was set to last whenever its hardware is opened.
    All is called in the instruments' threads, but `describe`.
    """

    def __init__(self, registry: Registry, journal: Journal, *, restores: bool) -> None:
        self._registry = registry
        self._journal = journal
        self._restores = restores
        self._last = journal.settings()
        self._problems: dict[str, str | None] = {}
        self._due: dict[str, float] = {}
        # Where no file keeps them for a later start, and nothing is given back in this one, nobody
        # wants to know them.
        is_wanted = restores or journal.has_file
        self._noted = {
            name
            for name, instrument in registry.targets.items()
            if is_wanted and type(instrument).last_settings is not Instrument.last_settings
        }
        """Those that tell what they are set to."""

    @observes(Moment.FINISHED)
    def note(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: have it noted soon what the instrument of a command is set to."""
        if not self._noted or exchange.started_at is None:
            return
        name = self._registry.target_of(exchange.request)
        if name in self._noted and name not in self._due:
            self._due[name] = time.monotonic() + DELAY

    def tend(self, name: str) -> float | None:
        """Note what an instrument is set to, where that is due; returns the seconds until it is,
        None where nothing is to be noted."""
        due = self._due.get(name)
        if due is None:
            return None
        if (left := due - time.monotonic()) > 0:
            return left
        self.note_now(name)
        return None

    def note_now(self, name: str) -> None:
        """Note what an instrument is set to, where a command may have changed it."""
        if self._due.pop(name, None) is None:
            return
        try:
            settings = encode(self._registry.targets[name].last_settings())
        except BaseException as error:  # a bug in it is not to end the instrument's thread
            logger.error("%s: what it is set to cannot be noted", name, exc_info=error)
            return
        if settings != self._last.get(name):
            self._last[name] = settings
            self._journal.note_settings(name, settings)

    def restore(self, name: str) -> bool:
        """Set an instrument, whose hardware has just been opened, to what it was set to last.

        Returns whether all was set. What today's limits refuse is logged. Raises
        `InstrumentError` where the hardware refuses.
        """
        if not self._restores or name not in self._noted:
            return False
        if name not in self._last:
            self._problems[name] = "nothing was set before, as far as is known"
            return False
        self._problems[name] = None
        try:
            self._registry.targets[name].restore(decode(self._last[name]))
        except InstrumentError:
            raise
        except OSError as error:
            raise HardwareLost(sentence_of(error)) from error
        except Exception as error:
            self._problems[name] = sentence_of(error)
            if not isinstance(error, ExchangeError):
                logger.exception("%s: its restore has a bug", name)
            logger.error("%s: not all was restored: %s", name, self._problems[name])
            return False
        logger.warning("%s: restored what was set last", name)
        return True

    def describe(self, name: str) -> dict[str, Any]:
        """What was restored of an instrument, as `link.status` shows it; empty where nothing was
        to be."""
        if name not in self._problems:
            return {}
        return {"restored": {"problem": self._problems[name]}}
