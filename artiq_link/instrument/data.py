"""The object of one exchange: ``command_id`` with the parameters beside it."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidParameter, Malformed
from ..text import json_kind

OWN_KEYS = frozenset({"command_id", "link"})
"""The keys of a request that are no parameters; no parameter can have such a name."""


def take_apart(message: Any) -> tuple[str, dict[str, Any], Any]:
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
    return command_id, parameters, parameters.pop("link", None)
