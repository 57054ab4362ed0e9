"""What systemd is told, over a real socket of its kind."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from artiq_link.server import sd_notify
from artiq_link.server.sd_notify import Notices
from tests.conftest import PATIENCE
from tests.exchanges.asking import on_loop
from tests.programs import PROGRAM, finish, first_line, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no systemd")

names = itertools.count()


class Systemd:
    """Its socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE)
        self.environment = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        """The lines of the next datagram."""
        return self.socket.recv(65536).decode().split("\n")

    def has_heard(self) -> bool:
        """Whether there is one."""
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(65536, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("Linux alone has abstract sockets")
    name = f"artiq-link-test-{os.getpid()}-{next(names)}"
    systemd = Systemd(f"@{name}" if request.param == "abstract" else str(tmp_path / "notify"))
    with systemd.socket:
        yield systemd


def notices(environment: Mapping[str, str], status: str = "dds: idle") -> Notices:
    return Notices(lambda: status, environment)


def test_a_server_tells_its_whole_life(systemd: Systemd) -> None:
    """It opens, is ready, and stops, in that order; the watchdog hears of it with the first."""
    environment = {**systemd.environment, "WATCHDOG_USEC": "30000000"}
    with running(sys.executable, "-c", PROGRAM, "0", environment=environment) as process:
        assert systemd.heard() == ["STATUS=opening dds"]
        where = first_line(process).removeprefix("listening on ").strip()
        assert systemd.heard() == [
            "READY=1",
            "WATCHDOG=1",
            f"STATUS=listening on {where}; dds: idle",
        ]
        process.send_signal(signal.SIGTERM)
        assert systemd.heard() == ["STOPPING=1", "STATUS=stopping"]
        assert finish(process) == (0, "", "")


FAILING = """
from tests.probe import Probe
import artiq_link
class Missing(Probe):
    def open_hardware(self):
        raise artiq_link.InstrumentError("nothing answers")
artiq_link.start_server({"dds": Missing()}, port=0)
"""


def test_a_server_whose_hardware_is_missing_is_never_ready(systemd: Systemd) -> None:
    with running(sys.executable, "-c", FAILING, environment=systemd.environment) as process:
        assert finish(process)[0] == 1
    assert systemd.heard() == ["STATUS=opening dds"]
    assert not systemd.has_heard()


@on_loop
async def test_a_watchdog_is_fed_while_the_loop_turns(tmp_path: Path) -> None:
    """Twice in its time, with what the server does now."""
    systemd = Systemd(str(tmp_path / "notify"))
    told = notices({**systemd.environment, "WATCHDOG_USEC": "200000"})
    told.ready()
    assert systemd.heard() == ["READY=1", "WATCHDOG=1", "STATUS=dds: idle"]
    for _ in range(3):
        assert told._timer is not None
        assert told._timer.when() <= asyncio.get_running_loop().time() + 0.1
        assert await asyncio.to_thread(systemd.heard) == ["WATCHDOG=1", "STATUS=dds: idle"]
    told.close()
    systemd.socket.close()


@on_loop
async def test_a_watchdog_starves_when_the_loop_is_blocked(tmp_path: Path) -> None:
    """And is fed again when it goes on."""
    systemd = Systemd(str(tmp_path / "notify"))
    told = notices({**systemd.environment, "WATCHDOG_USEC": "100000"})
    told.ready()
    assert "WATCHDOG=1" in systemd.heard()
    systemd.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        systemd.heard()  # this blocks the loop
    systemd.socket.settimeout(PATIENCE)
    assert "WATCHDOG=1" in await asyncio.to_thread(systemd.heard)
    told.close()
    systemd.socket.close()


@on_loop
async def test_what_was_ready_in_vain_is_ready_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is full, or not there, holds nobody up; systemd waits for the word."""
    monkeypatch.setattr(sd_notify, "BEAT", 0.1)
    address = str(tmp_path / "notify")
    told = notices({"NOTIFY_SOCKET": address})
    told.starting()
    told.ready()
    systemd = Systemd(address)
    assert await asyncio.to_thread(systemd.heard) == ["READY=1", "STATUS=dds: idle"]
    assert await asyncio.to_thread(systemd.heard) == ["STATUS=dds: idle"]
    told.close()
    systemd.socket.close()


@on_loop
async def test_a_full_socket_holds_nobody_up(tmp_path: Path) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    told = notices(systemd.environment)
    for _ in range(10_000):
        told.starting()
    told.ready()
    told.close()
    systemd.socket.close()
    told.stopping()


@on_loop
async def test_who_has_not_asked_is_told_nothing() -> None:
    told = notices({"WATCHDOG_USEC": "rubbish"})
    told.starting()
    told.ready()
    told.stopping()
    told.close()
    assert told._timer is None


@pytest.mark.parametrize(
    "address", ["", "@", "relative", "/does/not/exist", "vsock:2:1234", "/" + "x" * 200, "@\udcff"]
)
@on_loop
async def test_an_address_that_is_none_harms_nobody(address: str) -> None:
    told = notices({"NOTIFY_SOCKET": address})
    told.starting()
    told.ready()
    told.close()


@pytest.mark.parametrize("given", ["", "0", "-5", "1.5", "soon", "9" * 5000, "1e6"])
@on_loop
async def test_a_wrong_watchdog_is_none(
    given: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    told = notices({**systemd.environment, "WATCHDOG_USEC": given})
    told.ready()
    assert systemd.heard() == ["READY=1", "STATUS=dds: idle"]
    assert "is no time in us; no watchdog is fed" in caplog.text
    told.close()
    systemd.socket.close()


@on_loop
async def test_another_process_watchdog_is_none(tmp_path: Path) -> None:
    """A child has the variables of its parent."""
    systemd = Systemd(str(tmp_path / "notify"))
    watchdog = {**systemd.environment, "WATCHDOG_USEC": "1"}
    for process, is_fed in ((os.getpid(), True), (1, False)):
        told = notices({**watchdog, "WATCHDOG_PID": str(process)})
        told.ready()
        assert ("WATCHDOG=1" in systemd.heard()) is is_fed
        told.close()
    systemd.socket.close()


@on_loop
async def test_a_status_is_one_line(tmp_path: Path) -> None:
    """No name can say that the server is ready, or stop it."""
    systemd = Systemd(str(tmp_path / "notify"))
    notices(systemd.environment, "dds\nSTOPPING=1\n" + "x" * 1000).starting()
    (line,) = systemd.heard()
    assert line.startswith("STATUS=dds\\nSTOPPING=1\\nxxx")
    assert len(line) < 250
    systemd.socket.close()
