"""The object of one exchange: ``command_id`` with the parameters beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import InvalidParameter, Malformed
from ..text import json_kind

MAX_NAME = 200
"""Characters of a command's name, and of a client's for its exchange or for himself."""

OWN_KEYS = frozenset({"command_id", "link"})
"""The keys of a request that are no parameters; no parameter can have such a name."""


class Data(NamedTuple):
    """What stands in the object of one exchange."""

    command_id: str
    """``command`` or ``instrument.command``."""
    parameters: dict[str, Any]
    """The command's parameters by name."""
    link: Any
    """The reserved key ``link`` as it came, unchecked; None where it is missing."""


def take_apart(message: Any) -> Data:
    """Take the parsed object of one exchange apart; it stays as it is.

    Raises `Malformed` where `message` is not an object, and `InvalidParameter` where its
    ``command_id`` is missing, no text, or longer than `MAX_NAME`.
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
    if len(command_id) > MAX_NAME:
        raise InvalidParameter(
            f"command_id: a name of {len(command_id)} characters; at most {MAX_NAME} are read",
            where="command_id",
        )
    return Data(command_id, parameters, parameters.pop("link", None))
