"""Request and Reply: what an exchange is, whatever the dialect that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ..errors import ExchangeError, InvalidParameter, Malformed

OWN_KEYS = frozenset({"command_id", "link"})
"""The keys of a request that are no parameters; no parameter can have such a name."""


class LinkMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of the reserved key ``link``, all optional."""

    id: str | None = None
    """The client's name for this exchange; the reply repeats it."""
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds that the client will wait, from the request's first byte."""
    rid: int | None = None
    """ARTIQ's run identifier."""
    lease: int | None = None
    """Number of the lease that the client holds."""
    token: str | None = None
    """The client's proof that it may connect."""
    keep: bool = False
    """Whether the connection stays open after the reply."""


class Request(msgspec.Struct, frozen=True):
    """One command that a client asks for."""

    command_id: str
    """``command`` or ``instrument.command``."""
    parameters: dict[str, Any]
    """The command's parameters by name."""
    link: LinkMembers = LinkMembers()
    action: tuple[str, Any] | None = None
    """COMET's action and value, where the request came as such."""

    @property
    def data(self) -> dict[str, Any]:
        """The request as `interact` gets it: ``command_id`` with the parameters beside it."""
        return {"command_id": self.command_id, **self.parameters}

    @classmethod
    def from_object(cls, message: Any) -> Request:
        """Read the parsed JSON object of one exchange.

        Raises `Malformed` where `message` is not an object, and `InvalidParameter` where its
        ``command_id`` or its ``link`` are missing or wrong.
        """
        if not isinstance(message, dict):
            raise Malformed(f"expected one JSON object, got {json_kind(message)}")
        if "command_id" not in message:
            raise InvalidParameter("missing parameter 'command_id'", where="command_id")
        parameters = dict(message)
        command_id = parameters.pop("command_id")
        if not isinstance(command_id, str):
            raise InvalidParameter(
                f"command_id: expected str, got {json_kind(command_id)}", where="command_id"
            )
        members = parameters.pop("link", None)
        if members is None:
            return cls(command_id, parameters)
        try:
            return cls(command_id, parameters, msgspec.convert(members, LinkMembers))
        except msgspec.ValidationError as error:
            sentence, path = split_refusal(str(error))
            refusal = InvalidParameter(f"link{path}: {sentence}", f"link{path}")
            name = members.get("id") if isinstance(members, dict) else None
            link = LinkMembers(id=name if isinstance(name, str) else None)
            refusal.request = cls(command_id, parameters, link)
            raise refusal from None


class Reply(msgspec.Struct, frozen=True):
    """What one request is answered: a result or an error."""

    request: Request | None = None
    """The request that is answered; None where none could be read."""
    result: Any = None
    error: ExchangeError | None = None

    def to_object(self) -> dict[str, Any]:
        """The reply as the object that goes over the JSON dialect."""
        message: dict[str, Any] = {"status": "success" if self.error is None else "fail"}
        if self.request is not None:
            message["command_id"] = self.request.command_id
        if self.error is None:
            message["result"] = self.result
        else:
            message["code"] = self.error.code
            message["error"] = str(self.error)
            if self.error.where is not None:
                message["where"] = self.error.where
        if self.request is not None and self.request.link.id is not None:
            message["id"] = self.request.link.id
        return message


_JSON_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def json_kind(value: Any) -> str:
    """Name the kind of a parsed JSON value as its user would: ``an array``, ``a number``."""
    return _JSON_KINDS.get(type(value), type(value).__name__)


def split_refusal(refusal: str) -> tuple[str, str]:
    """Split msgspec's ``Expected `int`, got `str` - at `$[2].a``` into sentence and path."""
    refusal = refusal.replace(" - at `key` in `$", " as a key - at `$")
    sentence, _, path = refusal.partition(" - at `$")
    sentence = sentence.replace("`", "'")
    return sentence[0].lower() + sentence[1:], path.rstrip("`")
