"""Rights: what a client may do, and the look at them before a command goes its way."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from ..errors import Unauthorized
from .messages import Request
from .registry import LINK, Registry

LOOK_THEMSELVES = frozenset({f"{LINK}.batch", f"{LINK}.abort", f"{LINK}.release"})
"""Only these commands know on which instruments they act: they look at the rights themselves."""

NAME_INSTRUMENT = frozenset({f"{LINK}.acquire", f"{LINK}.reopen"})
"""These act on the instrument that their parameter ``instrument`` names."""


class Role(enum.IntEnum):
    """What may be done; each role includes those before it."""

    NONE = 0
    """Nothing, before the client has shown who it is."""
    WATCH = 1
    """What changes nothing: state, status, history, description, check."""
    CONTROL = 2
    """Everything."""


class Rights(msgspec.Struct, frozen=True):
    """What one client may do."""

    role: Role
    """On every instrument, and of the link's own commands."""
    instruments: Mapping[str, Role] = {}
    """On these instruments another role holds."""
    ends_server: bool = False
    """Whether it may end the server."""

    def on(self, instrument: str | None) -> Role:
        """The role that holds on an instrument, or on what belongs to none."""
        return self.role if instrument is None else self.instruments.get(instrument, self.role)

    def need_control(self, command_id: str, instrument: str | None) -> None:
        """Raise `Unauthorized` where a command may not act on an instrument, or on none."""
        if self.on(instrument) is not Role.CONTROL:
            where = "" if instrument is None else f" on {instrument:.60}"
            raise Unauthorized(
                f"{command_id!r:.60} needs the role control{where}, and this token may only watch",
                "link.token",
            )

    def need_end(self) -> None:
        """Raise `Unauthorized` where the server may not be ended."""
        if self.ends_server:
            return
        if not self.instruments:
            raise Unauthorized("who is let in without a proof cannot end the server")
        raise Unauthorized(
            "this token cannot end the server: that needs the role control on every instrument",
            "link.token",
        )


EVERYTHING = Rights(Role.CONTROL, ends_server=True)
"""The rights of whoever is let in without a limit, such as the programs of this computer."""


def check_rights(rights: Rights, request: Request, registry: Registry) -> None:
    """Raise `Unauthorized` where a client with these rights may not do what it asks for."""
    if rights.role is Role.CONTROL and not rights.instruments:
        return
    if rights.role is Role.NONE:
        raise Unauthorized("this server wants a token: give yours as link.token", "link.token")
    command_id = request.command_id
    if not registry.acts(command_id):
        return
    if command_id in LOOK_THEMSELVES and Role.CONTROL in rights.instruments.values():
        return
    instrument = registry.instrument_of(command_id)
    if command_id in NAME_INSTRUMENT and isinstance(request.parameters.get("instrument"), str):
        instrument = request.parameters["instrument"]
    rights.need_control(command_id, instrument)
