"""Who relies on what was set before the server started anew, or before hardware was lost, is told.

The name of a start, `boot`, gets a number behind it with each loss of an instrument's hardware:
``k3f9``, then ``k3f9.1``. A request may say which it knows. Where what was set then may be gone,
it is refused: by a guard when it comes, and by the instrument's worker just before it starts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ..errors import Restarted
from .exchange import Exchange
from .registry import Registry


class Restarts:
    """The start of the server named `start`, and what has become of its hardware since.

    Where a request names no start, or the present one, it costs a comparison.
    """

    def __init__(self, start: str, registry: Registry) -> None:
        self.name = start
        """What clients are told, and give back."""
        self._start = start
        self._registry = registry
        self._losses = 0
        self._lost_at: dict[str, int] = {}
        # Replaced and never changed: other threads look at it.
        self._gone: Mapping[str, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def lose(self, instrument: str) -> None:
        """From now on nothing can be set on an instrument until its hardware is there again.

        Who learns the name only now does not rely on what was set before; in any thread.
        """
        with self._lock:
            self._losses += 1
            self._lost_at[instrument] = self._losses
            self.name = f"{self._start}.{self._losses}"

    def find(self, instrument: str, what: str) -> None:
        """It is there again, and not all is as it was set: `what` happened; in any thread."""
        with self._lock:
            self._gone = {**self._gone, instrument: (self._lost_at[instrument], what)}

    def guard(self, exchange: Exchange) -> None:
        """As a guard: raise what refuses a command when it comes; whoever names a start is told
        the present name in the reply."""
        request = exchange.request
        boot = request.link.boot
        if boot is None:
            return
        exchange.boot = self.name
        if boot == self.name or not self._registry.acts(request.command_id):
            return
        if error := self.refusal(boot, self._registry.target_of(request)):
            raise error
        # Who took over the present name would not be told what has happened to other instruments.
        exchange.boot = boot

    def refusal_at_start(self, exchange: Exchange, instrument: str) -> Restarted | None:
        """What refuses a command that waited, though nothing did when it came."""
        error = self.refusal(exchange.request.link.boot, instrument)
        if error is not None and exchange.boot is not None:
            exchange.boot = self.name
        return error

    def refusal(self, boot: str | None, instrument: str | None) -> Restarted | None:
        """What refuses a command on an instrument, or on none, to who knows `boot`."""
        if boot is None or boot == self.name:
            return None
        losses = self._losses_in(boot)
        if losses is None:
            return Restarted(
                "the server has started anew: what was set before may be gone; the command was "
                "not executed"
            )
        gone_at, what = self._gone.get(instrument or "", (0, ""))
        if losses >= gone_at:
            return None
        return Restarted(
            f"{instrument}: {what}, and what was set before may be gone; the command was not "
            "executed"
        )

    def _losses_in(self, boot: str) -> int | None:
        """How many losses there had been by a name of this start; None for any other name."""
        start, dot, number = boot.partition(".")
        if start != self._start:
            return None
        if not dot:
            return 0
        return int(number) if number.isdecimal() and int(number) <= self._losses else None
