"""Fixtures of all tests: a real server on a free port, an instrument to watch, no leftovers."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from artiq_link import (
    Instrument,
    LinkServer,
    link_client,
    serve_in_background,
)
from artiq_link.cli.certificate import make_certificate
from artiq_link.server import access
from artiq_link.server import server as server_module
from tests.probe import PATIENCE, Probe

CONTROL_TOKEN, WATCH_TOKEN = "control-0123456789abcdef", "watch-0123456789abcdef"


class Certificates(NamedTuple):
    """Files in a folder."""

    folder: Path

    @property
    def of_server(self) -> list[str]:
        """A server's certificate and key, and the certificates of the clients that it trusts."""
        return [str(self.folder / name) for name in ("server.pem", "server.key", "trusted.pem")]

    def of(self, name: str = "client", server: str = "server") -> list[str]:
        """A client's certificate and key, and that of the server that it trusts."""
        return [
            str(self.folder / file) for file in (f"{name}.pem", f"{name}.key", f"{server}.pem")
        ]


# Times are measured in benchmarks; a busy computer fails no test.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let servers on a port of their own have their journals elsewhere than the user's have.

    Programs that tests start inherit it.
    """
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def nothing_known_of_servers() -> Iterator[None]:
    """Let clients forget the servers of a test: its ports may be given to those of another."""
    yield
    link_client._known.clear()


@pytest.fixture
def probe() -> Iterator[Probe]:
    """An instrument whose waiting command is released at the test's end."""
    instrument = Probe()
    yield instrument
    instrument.go_on.set()


@pytest.fixture
def serve(probe: Probe) -> Iterator[Callable[..., LinkServer]]:
    """Start servers: ``serve()`` serves `probe` as ``dds``; all stop at the test's end."""
    with ExitStack() as stack:

        def start(instruments: dict[str, Instrument] | None = None, **options: Any) -> LinkServer:
            served = {"dds": probe} if instruments is None else instruments
            return stack.enter_context(serve_in_background(served, **options))

        yield start
        probe.go_on.set()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Keys and certificates of a server, of two clients that it trusts, and of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "second", "stranger"):
        make_certificate(name, folder / f"{name}.pem", folder / f"{name}.key")
    trusted = [(folder / f"{name}.pem").read_text() for name in ("client", "second")]
    (folder / "trusted.pem").write_text("".join(trusted))
    return Certificates(folder)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that the server takes for one beyond this computer, which may have no other."""
    for module in (access, server_module):
        monkeypatch.setattr(module, "is_loopback", lambda host: host in {"127.0.0.1", "::1"})
    return "127.0.0.2"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """A file with a token for each role; `dds` is the one instrument of most tests."""
    path = tmp_path / "tokens"
    path.write_text(
        f"# who    token      role\n"
        f"\n"
        f"master   {CONTROL_TOKEN}  control\n"
        f"screen   {WATCH_TOKEN}  watch  # on the wall\n"
    )
    path.chmod(0o600)
    return str(path)


@pytest.fixture(autouse=True, scope="module")
def no_leftover_sockets() -> Iterator[None]:
    """Fail a module that leaves a socket open: it warns when it is collected."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_leftover_threads() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(PATIENCE)
    assert [thread.name for thread in left if thread.is_alive()] == []


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
