"""``link.batch``: many requests in one exchange, checked as a whole and executed in a row."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec

from ..errors import Aborted, ExchangeError, Expired, InvalidParameter
from ..instrument.command import command
from ..values import encode
from .exchange import Exchange, current_exchange
from .link_commands import LinkCommands, in_worker
from .messages import Reply, Request
from .registry import Route
from .rights import Rights, check_rights
from .worker import Worker

MAX_BATCH = 10_000
"""Requests in one `link.batch`: as many as one `link.check` takes."""


class _Entry(NamedTuple):
    """One request of a batch: with its route, or with what refuses it."""

    request: Request
    worker: str
    route: Route | None
    refusal: ExchangeError | None


class Batch(LinkCommands):
    """Many requests in one exchange."""

    act = True

    @command
    async def batch(
        self,
        requests: Annotated[list[Any], msgspec.Meta(max_length=MAX_BATCH)],
        on_failure: Literal["stop", "continue"] = "stop",
        check: bool = True,
    ) -> list[Any]:
        """Execute requests in order, with nothing between those in a row of one instrument.

        All are checked first, as by `link.check`, and none is executed if one would be refused;
        check=false leaves that out. The result has a reply for each. After one that failed the
        others are not executed and answered by ``status: skipped``, unless on_failure says to
        continue. link.* commands cannot be part of it.
        """
        if not requests:
            return []
        outer = current_exchange()
        # It takes long, so it is not for the event loop: the instrument that comes first does it.
        first = self._entry(requests[0], outer.client.rights).worker
        submit = self.workers[first].submit
        entries = await in_worker(submit, outer, lambda: self._plan(outer, requests, check))
        run = _Run(outer, goes_on=on_failure == "continue")
        for worker, group in itertools.groupby(entries, lambda entry: entry.worker):
            row = list(group)
            runs = self.workers[worker]
            try:
                await in_worker(runs.submit, outer, functools.partial(run.execute, row, runs))
            except ExchangeError as error:
                if not run.replies:
                    raise
                # The turn was refused; what was executed before it is told all the same.
                run.refuse(row, error)
        # As one text, so that nobody looks at each again while others wait.
        return cast(list[Any], msgspec.Raw(b"[%b]" % b",".join(run.replies)))

    def _plan(self, outer: Exchange, requests: Iterable[Any], check: bool) -> list[_Entry]:
        """Read the requests; raises the refusal of the first that would be refused."""
        entries = [self._entry(data, outer.client.rights) for data in requests]
        # Also where nothing is checked: it is the whole that relies on what was set before.
        for worker in dict.fromkeys(each.worker for each in entries if each.route is not None):
            if restarted := self.restarts.refusal(outer.request.link.boot, worker):
                raise restarted
        for index, entry in enumerate(entries if check else ()):
            try:
                if entry.route is None:
                    assert entry.refusal is not None  # noqa: S101 one of both is there
                    raise entry.refusal
                entry.route.check(entry.request)
                link = entry.request.link.under(outer.request.link)
                if error := self.leases.refusal(link.lease, entry.worker):
                    raise error
            except ExchangeError as error:
                place = f"requests[{index}]"
                where = place if error.where is None else f"{place}.{error.where}"
                raise type(error)(f"{place}: {error}", where) from None
        return entries

    def _entry(self, data: Any, rights: Rights) -> _Entry:
        request = Request("", {})
        try:
            request = Request.from_object(data)
            if request.refusal is not None:
                raise request.refusal
            check_rights(rights, request, self.registry)
            route = self.registry.route(request)
            if route.worker is None or route.worker not in self.workers:
                raise InvalidParameter(f"{request.command_id} cannot be part of a batch")
        except ExchangeError as error:
            if not request.command_id:
                request = Request.refused(error, ends=False)
            return _Entry(request, self.registry.first, None, error)
        return _Entry(request, route.worker, route, None)


class _Run:
    """A batch that is being executed: its replies, and whether it goes on."""

    def __init__(self, outer: Exchange, *, goes_on: bool) -> None:
        self.replies: list[bytes] = []
        self._outer = outer
        self._goes_on = goes_on
        self._stopped = False

    def execute(self, row: list[_Entry], worker: Worker) -> None:
        """Execute what one instrument does in a row; called in its worker."""
        self._answer(row, lambda part, entry: self._run(part, entry, worker))

    def refuse(self, row: list[_Entry], error: ExchangeError) -> None:
        """Answer a row whose turn did not come."""
        self._answer(row, lambda part, entry: part.refuse(error))

    def _answer(self, row: list[_Entry], answer: Callable[[Exchange, _Entry], bytes]) -> None:
        for entry in row:
            if self._stopped:
                name = entry.request.command_id
                self.replies.append(encode({"status": "skipped", "command_id": name}))
                continue
            part = self._outer.part(entry.request, _as_json)
            # They are written already: the next command may change what this one returned.
            self.replies.append(answer(part, entry))
            failed = part.outcome is not None and part.outcome.error is not None
            self._stopped = failed and not self._goes_on

    def _run(self, part: Exchange, entry: _Entry, worker: Worker) -> bytes:
        if self._outer.aborted:
            return part.refuse(Aborted("it was not started: its batch was aborted"))
        if self._is_too_late():
            return part.refuse(Expired("it was not started: the time of its batch was up"))
        if entry.route is None:
            return part.refuse(entry.refusal or InvalidParameter("no command"))
        if error := worker.refusal(part):
            return part.refuse(error)
        data = part.run(entry.route.call, worker.complete)
        assert part.outcome is not None  # noqa: S101 it has run
        worker.note(part.outcome.error)
        return data

    def _is_too_late(self) -> bool:
        outer = self._outer
        is_over = outer.deadline is not None and time.monotonic() >= outer.deadline
        return is_over or outer.is_too_late


def _as_json(request: Request, reply: Reply) -> bytes:
    return encode(reply.to_object(request))
