"""The answer to first bytes that begin no dialect; what follows them is never parsed."""

from __future__ import annotations

from ..errors import ExchangeError
from ..exchanges.messages import Reply, Request
from .base import Wire, WireOptions


class RefusalWire(Wire):
    """Answers one error in its own words and ends."""

    name = "unknown dialect"

    def __init__(self, options: WireOptions, error: ExchangeError, answer: bytes) -> None:
        super().__init__(options)
        self._error = error
        self._answer = answer

    @property
    def buffered(self) -> int:
        return 0

    def receive_data(self, data: bytes) -> None:
        """Throw the bytes away."""

    def receive_eof(self) -> None:
        """Nothing was awaited."""

    @property
    def form(self) -> bytes:
        return self._answer

    def next_request(self) -> Request | None:
        return self.refuse(self._error)

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        answer: bytes = request.form
        return answer
