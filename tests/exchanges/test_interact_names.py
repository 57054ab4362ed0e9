"""Which commands a function knows, as far as its text shows it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artiq_link import DDS, SimulatedDriver
from artiq_link.exchanges.interact_names import Names, names_of

Define = Callable[[str], Any]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    """Makes the function `interact` of a body, in a file."""
    file = tmp_path / "lab.py"

    def define(body: str) -> Any:
        lines = ("    " + line for line in body.splitlines())
        file.write_text("\n".join(["def interact(data):", *lines, ""]), encoding="utf-8")
        variables: dict[str, Any] = {}
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), variables)
        return variables["interact"]

    return define


COMPLETE = [
    'if data["command_id"] == "a":\n    act()\nelif "b" == data["command_id"]:\n    act(data)',
    'name = data["command_id"]\nif name == "a":\n    return 1\nif name == "b":\n    return 2',
    'if (name := data["command_id"]) == "a" or name == "b":\n    act()',
    'if data.get("command_id") in ("a", "b"):\n    act()',
    'if data["command_id"] in {"a", "b"} and data["on"]:\n    return act()\nreturn None',
    'if data["command_id"] == "a":\n    pass\nelse:\n    if data["command_id"] in ["b"]: act()',
    '"""Act."""\nprint("got", data, flush=True)\nif data["command_id"] in ("a", "b"): act()',
    'match data["command_id"]:\n    case "a": pass\n    case "b" if act(): act()',
    'match data["command_id"]:\n    case "a" | "b" as which: act(which)\n    case _: return None',
    'match data:\n    case {"command_id": "a", "x": x}: 1\n    case {"command_id": "b"}: act()',
]


@pytest.mark.parametrize("body", COMPLETE)
def test_certainly_nothing_is_done_under_other_names(define: Define, body: str) -> None:
    assert names_of(define(body)) == Names(frozenset({"a", "b"}), are_all=True)


@pytest.mark.parametrize(
    "body",
    [
        # handed on, or decided, by something else
        'if data["command_id"] == "a": return 1\nreturn dds.interact(data)',
        'if data["command_id"] == "a": return 1\nhandlers.get(data["command_id"], print)(data)',
        'if data["command_id"] == "a": return 1\nif data["command_id"].startswith("a"): act()',
        'if data["command_id"] == "a": return 1\nif data["command_id"] in NAMES: act()',
        'if data["command_id"] == "a": return 1\nif data["command_id"] == NAME: act()',
        'if data["command_id"] == "a": return 1\nif data["command_id"][0] == "b": act()',
        'if data["command_id"] == "a": return 1\nif data["other"] == "b": act()',
        'if data["command_id"] == "a": return 1\nif other["command_id"] == "b": act()',
        'if data["command_id"] == "a": return 1\nif other.get("command_id") == "b": act()',
        'if data["command_id"] == "a": return 1\nif "on" in data: act()',
        'if data["command_id"] == "a" or act(): return 1',
        'if act() and data["command_id"] == "a": return 1',
        'if "a" == data["command_id"] == act(): return 1',
        # done whatever the name is
        'if data["command_id"] == "a": act()\nelse: act()',
        'if data["command_id"] == "a": act()\nact()',
        'if data["command_id"] != "a": act()',
        'if not data["command_id"] == "a": act()',
        'if data["command_id"] == "a": return 1\nreturn 2',
        'if data["command_id"] == "a": return 1\nraise ValueError',
        'if data["command_id"] == "a": return 1\nprint(act())',
        'if data["command_id"] == "a": return 1\nprint(data["command_id"], file=port)',
        'if data["command_id"] == "a": return 1\nprint(*data, **where)',
        'if data["command_id"] == "a": return 1\nself.last = data["command_id"]',
        'global name\nname = data["command_id"]\nif name == "a": return 1',
        'name = data["command_id"]\nname = act(name)\nif name == "a": act()',
        'data = act(data)\nif data["command_id"] == "a": act()',
        'try:\n    if data["command_id"] == "a": act()\nfinally:\n    act()',
        'match data["command_id"]:\n    case "a": act()\n    case _: act()',
        'match data["command_id"]:\n    case "a": act()\n    case _ if act(): pass',
        'match data["command_id"]:\n    case "a": act()\n    case str(): act()',
        'match data:\n    case {"command_id": "a"}: act()\n    case {"on": True}: act()',
        'match act():\n    case "a": act()',
    ],
)
def test_whatever_may_be_the_way_of_other_names_leaves_it_open(define: Define, body: str) -> None:
    assert not names_of(define(body)).are_all


def test_names_are_known_where_there_may_be_others(define: Define) -> None:
    body = 'if data["command_id"] == "a": act()\nif data["command_id"] in ("b", X): act()\nact()'
    assert names_of(define(body)) == Names(frozenset({"a"}))


def test_a_function_within_another_and_a_method_have_a_text_too() -> None:
    opened = []

    def interact(data: dict[str, Any]) -> None:
        """Act on one message.

        And more.
        """
        if data["command_id"] == "open":
            opened.append(1)

    class Lab:
        async def interact(self, data: dict[str, Any], /) -> None:
            """Act on one message.

            And more.
            """
            if data["command_id"] == "open":
                opened.append(self)

    for function in (interact, Lab().interact):
        assert names_of(function) == Names(frozenset({"open"}), are_all=True)


def test_without_a_text_of_its_own_nothing_is_known() -> None:
    def interact(data: dict[str, Any]) -> None:
        if data["command_id"] == "open":
            print()

    @functools.wraps(interact)
    def around(data: dict[str, Any]) -> Any:
        return interact(data) or print(data)

    class Door:
        def __call__(self, data: dict[str, Any]) -> None:
            if data["command_id"] == "open":
                print()

    made: dict[str, Any] = {}
    exec("def interact(data): pass", made)
    for door in (
        around,
        functools.partial(interact),
        Door(),
        Door,
        print,
        None,
        made["interact"],
        lambda data: None,
        lambda *messages: None,
        DDS(SimulatedDriver()).interact,
    ):
        assert names_of(door) == Names()


def test_the_text_of_a_file_that_was_edited_meanwhile_is_not_the_function_s(
    define: Define,
) -> None:
    older = define(
        'if data["command_id"] == "open": act()\nif data["command_id"] == "shut": act()'
    )
    newer = define('if data["command_id"] == "open": act()')
    assert names_of(newer) == Names(frozenset({"open"}), are_all=True)
    assert names_of(older) == Names()


@pytest.mark.parametrize("text", ["", "def interact(data):\n    (", 'def f():\n    """', "\0"])
def test_a_file_that_is_half_written_says_nothing(
    define: Define, tmp_path: Path, text: str
) -> None:
    function = define('if data["command_id"] == "open": act()')
    (tmp_path / "lab.py").write_text(text, encoding="utf-8")
    assert names_of(function) == Names()


def test_python_s_warnings_of_a_text_are_not_said_again(define: Define) -> None:
    with pytest.warns(DeprecationWarning if sys.version_info < (3, 12) else SyntaxWarning):
        function = define(r'if data["command_id"] == "open": act("\d")')
    assert names_of(function).are_all
