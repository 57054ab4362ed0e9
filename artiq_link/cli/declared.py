"""What a server declares of one command: its parameters and what it returns."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..link_client import Link, ServerFailed


class Declared(NamedTuple):
    """A command as `link.describe` tells it; empty where the server declares none."""

    parameters: dict[str, dict[str, Any]]
    """By their names."""
    result: dict[str, Any]
    unknown: str
    """Why there is none, in the server's words."""


def declared_by(link: Link, command_id: str) -> Declared:
    """Ask the server; raises `ConnectFailed` and `NoReply`.

    One that does not tell is no obstacle, such as a server of another kind that takes JSON too:
    what becomes of the command, its own reply says.
    """
    try:
        command = link.call("link.describe", command=command_id)
    except ServerFailed as error:
        return Declared({}, {}, error.error)
    if not isinstance(command, dict) or not command.keys() >= {"parameters", "result"}:
        return Declared({}, {}, "the server describes no commands")
    parameters = {parameter["name"]: parameter for parameter in command["parameters"]}
    return Declared(parameters, command["result"], "")
