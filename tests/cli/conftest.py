"""What the tests of ``artiq-link`` share: running it in this process, and a server to talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from artiq_link import LinkServer
from artiq_link.cli.program import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``artiq-link``; gives its exit code, its output and its errors."""

    def run(*arguments: str, port: int | None = None) -> tuple[int, str, str]:
        options = () if port is None else ("--port", str(port))
        try:
            code = main([*arguments, *options])
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else -1
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def port(serve: Callable[..., LinkServer]) -> Iterator[int]:
    """The port of a server with the probe."""
    return serve().port
