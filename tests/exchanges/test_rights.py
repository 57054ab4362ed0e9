"""Rights: which role a command needs, on which instrument."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from artiq_link.errors import Unauthorized
from artiq_link.exchanges.client import NOBODY, Client
from artiq_link.exchanges.dispatch import LINK_COMMANDS, Dispatch
from artiq_link.exchanges.exchange import Exchange
from artiq_link.exchanges.messages import Request
from artiq_link.exchanges.registry import Registry
from artiq_link.exchanges.rights import EVERYTHING, Rights, Role, check_rights
from tests.exchanges.asking import Asked, Laser, dispatching, failure, on_loop, success

WATCH = Rights(Role.WATCH)


@pytest.fixture
def registry() -> Registry:
    """Two lasers, with the link's own commands."""

    async def make() -> Registry:
        registry = Registry({"red": Laser(), "blue": Laser()})
        Dispatch(registry)
        return registry

    return asyncio.run(make())


def may(registry: Registry, rights: Rights, command_id: str) -> bool:
    try:
        check_rights(rights, Request(command_id, {}), registry)
    except Unauthorized:
        return False
    return True


def test_what_watches_is_named_by_the_commands(registry: Registry) -> None:
    """What is not known to watch needs control: a new command is closed until it says so."""
    own = {f"link.{name}": cls for cls in LINK_COMMANDS for name in cls.commands}
    assert {name: may(registry, WATCH, name) for name in own} == {
        name: not cls.act for name, cls in own.items()
    }
    assert not any(
        may(registry, WATCH, name) for name in (*set(registry) - own.keys(), "", "none", "link.no")
    )


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (EVERYTHING, {"red.wait", "blue.wait", "wait", "none", "link.batch", "link.ping"}),
        (Rights(Role.NONE), set()),
        (Rights(Role.NONE, {"red": Role.CONTROL}), set()),
        (WATCH, {"link.ping"}),
        (Rights(Role.WATCH, {"red": Role.CONTROL}), {"red.wait", "link.batch", "link.ping"}),
        (
            Rights(Role.CONTROL, {"red": Role.WATCH}),
            {"blue.wait", "wait", "none", "link.batch", "link.ping"},
        ),
    ],
)
def test_roles(registry: Registry, rights: Rights, allowed: set[str]) -> None:
    names = {"red.wait", "blue.wait", "wait", "none", "link.batch", "link.ping"}
    assert {name for name in names if may(registry, rights, name)} == allowed


def test_who_calls_from_within_may_do_all() -> None:
    assert NOBODY.rights is Client("10.0.0.1:5").rights is EVERYTHING


@on_loop
async def test_a_guard_refuses_before_anything_else() -> None:
    """It is asked for each exchange but for those that are no request; what it raises is told."""
    seen: list[str] = []

    def guard(exchange: Exchange) -> None:
        seen.append(exchange.request.command_id)
        if exchange.request.command_id == "set_power":
            raise Unauthorized("not today", "power")

    laser = Laser()
    async with dispatching({"laser": laser}, guards=[guard]) as dispatch:
        refused: Any = await Asked(dispatch, "set_power", {"power": 1}).reply()
        assert refused == failure("set_power", "unauthorized", "not today", where="power")
        assert await Asked(dispatch, "link.ping").reply() == success("link.ping", True)
        assert (await Asked(dispatch, "none").reply())["code"] == "unknown_command"
    assert seen == ["set_power", "link.ping", "none"]
    assert laser.executed == []
