"""``link.outcome`` and ``link.history``: what became of one exchange, and of all that were."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from ..errors import InternalError
from ..instrument.command import command
from ..text import sentence_of
from .journal_file import FAILURES, Filter
from .link_commands import LinkCommands
from .records import listed
from .registry import LINK

MAX_LISTED = 1000
"""Exchanges that one `link.history` lists."""

MAX_TEXT = 8 * 1024 * 1024
"""Characters of them, about: fewer are listed where they are long."""

_Seconds = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "s"})]
_Number = Annotated[int, msgspec.Meta(ge=0)]

LARGEST = 2**63 - 1
"""SQLite's largest whole number (https://www.sqlite.org/datatype3.html)."""


class Outcomes(LinkCommands):
    """What became of one exchange."""

    @command
    def outcome(self, id: str) -> dict[str, Any]:
        """Tell what became of the request with this id, with the reply where there is one.

        done, failed or refused; running, also where it waits; never_arrived; unknown where the
        server ended while it ran.
        """
        return self.journal.outcome(id)


class History(LinkCommands):
    """What became of all exchanges; may take long, so it has a worker of its own."""

    worker = f"{LINK}.history"

    @command
    def history(
        self,
        *,
        since: _Seconds | None = None,
        after: _Number | None = None,
        before: _Number | None = None,
        command: str | None = None,
        rid: _Number | None = None,
        failed: bool = False,
        slow: _Seconds | None = None,
        limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LISTED)] = 100,
    ) -> list[dict[str, Any]]:
        """List the exchanges that have ended, in order: the newest, or the first behind after.

        after and before are numbers of exchanges, as they are listed. since is how long ago they
        came at most, failed leaves those out that succeeded, slow those that took less than so
        long, waiting included.
        """
        earliest = None if since is None else time.time() - since
        after, before, rid = (
            None if number is None else min(number, LARGEST) for number in (after, before, rid)
        )
        which = Filter(earliest, after, before, command, rid, failed, slow)
        try:
            rows = self.journal.select(which, limit)
        except FAILURES as error:
            raise InternalError(f"the journal cannot be read: {sentence_of(error)}") from None
        # From the end that the next request goes on from.
        entries: list[dict[str, Any]] = []
        size = 0
        for n, record in rows if after is not None else reversed(rows):
            size += record.size
            if entries and size > MAX_TEXT:
                break
            entries.append({"n": n, **listed(record)})
        return entries if after is not None else entries[::-1]
