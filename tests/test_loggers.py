"""What others sent is shown in the log and not obeyed, by whichever handlers it is written."""

from __future__ import annotations

import ast
import logging

import pytest

from artiq_link.loggers import Lines, get_logger
from tests.programs import ROOT

FORGED = "x\nERROR:root:forged\x1b[2J"


def test_arguments_stand_on_one_line_and_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has set logging up: here pytest has."""
    logger = get_logger("artiq_link.test")
    logger.warning("%s: %s", FORGED, RuntimeError(FORGED))
    logger.warning("%r of %s", FORGED, {FORGED: 1})
    logger.warning("%s", "x" * 300)
    logger.warning("%d of %g s", 2, 0.5)
    logger.warning("without arguments: 100 %")
    assert caplog.messages == [
        r"x\nERROR:root:forged\x1b[2J: x\nERROR:root:forged\x1b[2J",
        r"'x\nERROR:root:forged\x1b[2J' of {'x\nERROR:root:forged\x1b[2J': 1}",
        "x" * 200 + "... (100 more characters)",
        "2 of 0.5 s",
        "without arguments: 100 %",
    ]


def test_a_traceback_keeps_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("artiq_link.test").warning(
        "%s failed:\n%s", "a\nb", Lines("first\nsecond\x1b[2J\n")
    )
    assert caplog.messages == ["a\\nb failed:\nfirst\nsecond\\x1b[2J\n"]


def test_an_argument_is_made_text_only_where_a_line_is_written() -> None:
    class Expensive:
        def __str__(self) -> str:
            raise AssertionError("nobody logs this")

    logger = get_logger("artiq_link.test")
    assert not logger.isEnabledFor(logging.DEBUG)
    logger.debug("%s", Expensive())


def test_every_module_that_serves_has_such_a_logger() -> None:
    """The client's two files stand alone, and what they log came from a server; the root logger is
    set up and listened to as a whole, and zeroconf's is quietened."""
    others = {"link_client.py", "artiq_device.py", "loggers.py", "log_output.py"}
    others |= {"log_listener.py", "announce.py"}
    asking = [
        path.name
        for path in (ROOT / "artiq_link").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "getLogger"
    ]
    assert {*asking} == others
