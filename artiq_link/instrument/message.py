"""What a lab's `interact` gets: a dictionary that tells the client what is missing in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..errors import InvalidParameter, UnknownCommand
from .data import OWN_KEYS


class MissingParameter(InvalidParameter, KeyError):
    """A message has no such key. It is a KeyError, for functions that expect one."""

    __str__ = Exception.__str__  # that of KeyError would put quotation marks around the sentence


class Message(dict[str, Any]):
    """A dictionary: ``command_id``, and the parameters beside it.

    Taking a key that it has not, ``data["state"]`` or ``data.pop("state")``, raises
    `MissingParameter`, so that the client is told which parameter is missing.
    """

    def __init__(self, data: Mapping[str, Any], known: Iterable[str] = ()) -> None:
        super().__init__(data)
        self.known = known
        """Names of commands, of which `unknown` suggests the nearest."""

    def __missing__(self, key: Any) -> NoReturn:
        if not isinstance(key, str) or key in OWN_KEYS:
            raise KeyError(key)  # no client could have given it
        name = self.get("command_id")
        raise MissingParameter(f"missing parameter {key!r:.60} of {name!r:.60}", key)

    def pop(self, key: str, *default: Any) -> Any:
        """Take a key out, as a dictionary does."""
        if not default and key not in self:
            self.__missing__(key)
        return super().pop(key, *default)


def unknown(data: Mapping[str, Any]) -> NoReturn:
    """Refuse a message whose command nobody knows: the last line of an `interact`.

    ::

        return artiq_link.unknown(data)

    Raises `UnknownCommand`, which names the most similar of the commands that `interact` compares
    ``command_id`` with, and of the instruments'.
    """
    raise UnknownCommand.nearest(data["command_id"], getattr(data, "known", ()))
