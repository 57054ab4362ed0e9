"""The client's lease: it renews itself, says when it is lost, and who sleeps cannot act."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artiq_link import LeaseLost, Link, LinkServer, NoReply, ServerFailed
from tests.conftest import PATIENCE, Probe, until
from tests.programs import ROOT, first_line, running, running_python
from tests.scripted_server import answer, scripted_server

Serve = Callable[..., LinkServer]

SHORT = 0.3
"""Seconds of a lease that a test waits to be renewed, or to run out."""

SERVER = """
import sys
import artiq_link
from tests.conftest import Probe
artiq_link.start_server({"dds": Probe()}, port=int(sys.argv[1]), journal=sys.argv[2])
"""

SCAN = """
import sys
from artiq_link import Link, LinkError
link = Link(port=int(sys.argv[1]))
with link.lease("dds", owner="scan", seconds=0.3) as lease:
    print(lease.number, flush=True)
    for line in sys.stdin:
        try:
            print(link.call("echo", value=line.strip()), flush=True)
        except LinkError as error:
            print(type(error).__name__, lease.lost, error, flush=True)
"""


def holder(link: Link) -> Any:
    """What the status says of who holds it."""
    return link.call("link.status")["instruments"]["dds"].get("lease")


def test_the_block_holds_the_instrument_and_lets_it_go(serve: Serve, probe: Probe) -> None:
    port = serve().port
    link, other = Link(port=port), Link(port=port)
    with link.lease("dds", owner="calibration") as lease:
        assert link.call("count") == 0
        assert not lease.lost
        assert holder(other)["owner"] == "calibration"
        with pytest.raises(ServerFailed, match=r"^leased: dds is held by 'calibration' until "):
            other.call("count")
        with pytest.raises(ServerFailed, match=r"^leased: "):
            other.lease("dds").__enter__()
        assert link.batch([{"command_id": "count"}])[0]["result"] == 0
    assert other.call("count") == 0
    assert link.call("count") == 0


def test_without_a_name_it_has_the_programs(serve: Serve) -> None:
    link = Link(port=serve().port)
    with link.lease("dds"):
        assert " on " in holder(link)["owner"]


def test_it_is_renewed_in_the_background(serve: Serve) -> None:
    link = Link(port=serve().port)
    with link.lease("dds", seconds=SHORT) as lease:
        first = holder(link)["until"]
        until(lambda: holder(link)["until"] > first + SHORT)
        assert not lease.lost
        assert link.call("count") == 0


def test_a_kept_connection_carries_it_too(serve: Serve) -> None:
    with Link(port=serve().port) as link, link.lease("dds"):
        assert link.call("count") == 0


def test_a_link_holds_one_lease_at_a_time(serve: Serve, probe: Probe) -> None:
    link = Link(port=serve({"dds": probe, "stage": Probe()}).port)
    with link.lease("dds") as lease:
        with pytest.raises(RuntimeError, match=r"holds a lease already"):
            link.lease("stage").__enter__()
        assert link.held is lease
    with link.lease("stage"):
        assert link.call("stage.count") == 0


def test_who_lost_it_is_told_at_the_next_use_and_at_each_after_it(
    serve: Serve, probe: Probe
) -> None:
    link = Link(port=serve().port)
    taken = {"instrument": "dds", "owner": "Anna", "seconds": PATIENCE, "force": True}
    with link.lease("dds", owner="scan") as lease:
        Link(port=link.port).call("link.acquire", **taken)
        for _ in range(2):
            with pytest.raises(LeaseLost, match=r"^dds: the lease was lost: .* by 'Anna' until "):
                link.call("echo", value=1)
            assert lease.lost
        with pytest.raises(LeaseLost):
            link.batch([{"command_id": "count"}])
    assert probe.executed == []
    with pytest.raises(ServerFailed, match=r"^leased: "):  # the lease was that of the block
        link.call("echo", value=1)


def test_the_background_finds_out_too(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    link = Link(port=serve().port)
    with link.lease("dds", seconds=SHORT) as lease:
        link.call("link.release", lease=lease.number)
        until(lambda: lease.lost)
        until(lambda: "was not renewed: stale" in caplog.text)


def test_a_server_that_is_gone_cannot_keep_it(serve: Serve) -> None:
    """Whether it goes on is not known then, so it is no longer to be relied on."""
    server = serve()
    link = Link(port=server.port)
    with link.lease("dds", seconds=SHORT) as lease:
        server.stop()
        until(lambda: lease.lost)


def test_what_is_no_link_server_gives_no_lease() -> None:
    with scripted_server(answer(status="success", result="yes")) as (host, port):
        with pytest.raises(NoReply, match=r"is no lease$"):
            Link(host, port).lease("dds").__enter__()


def test_a_client_that_was_stopped_cannot_act_when_it_wakes(serve: Serve, probe: Probe) -> None:
    """SIGSTOP for longer than the lease; meanwhile somebody else has done something."""
    if sys.platform == "win32":
        return
    link = Link(port=serve().port)
    with running(sys.executable, "-c", SCAN, str(link.port)) as scan:
        assert scan.stdin is not None
        assert int(first_line(scan))
        scan.stdin.write("first\n")
        scan.stdin.flush()
        assert first_line(scan) == "first\n"
        scan.send_signal(signal.SIGSTOP)
        scan.stdin.write("second\n")
        scan.stdin.flush()
        until(lambda: holder(link) is None)
        assert link.call("echo", value="other") == "other"
        scan.send_signal(signal.SIGCONT)
        assert first_line(scan).startswith("LeaseLost True dds: the lease was lost: ")
    assert probe.executed == ["echo", "echo"]


def test_a_server_that_was_stopped_executes_nothing_under_a_lease_that_ended(
    tmp_path: Path,
) -> None:
    """What waited in its sockets was sent in time, and is read too late."""
    if sys.platform == "win32":
        return
    with running_python("-c", SERVER, "0", str(tmp_path / "journal"), folder=ROOT) as (
        process,
        port,
    ):
        link = Link(port=port, timeout=PATIENCE)
        taken = {"instrument": "dds", "owner": "scan", "seconds": SHORT}
        number = link.call("link.acquire", **taken)["lease"]
        process.send_signal(signal.SIGSTOP)
        with running(
            sys.executable, "-m", "artiq_link", "send", "--port", str(port), "--json", "count",
            f'link={{"lease": {number}}}',
        ) as late:  # fmt: skip
            until(lambda: not in_time(taken, number))
            process.send_signal(signal.SIGCONT)
            assert json.loads(first_line(late))["code"] == "stale"


def in_time(taken: dict[str, Any], number: int) -> bool:
    """Whether a lease may go on: its number is the time at which it was given, in us."""
    return time.time() < number / 1e6 + taken["seconds"]


def test_a_server_that_was_killed_keeps_leases_and_their_ends(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal.sqlite")
    with running_python("-c", SERVER, "0", journal, folder=ROOT) as (process, port):
        link = Link(port=port, timeout=PATIENCE)
        taken = {"instrument": "dds", "owner": "scan", "seconds": PATIENCE}
        told = link.call("link.acquire", **taken)
        process.kill()
        process.wait(PATIENCE)
    with running_python("-c", SERVER, str(port), journal, folder=ROOT):
        assert holder(link) == {"owner": "scan", "until": told["until"]}
        with pytest.raises(ServerFailed, match=r"^leased: "):
            link.call("count")
        held = Link(port=port, timeout=PATIENCE, link={"lease": told["lease"]})
        assert held.call("count") == 0
        assert link.call("link.acquire", **taken, force=True)["lease"] > told["lease"]


def test_a_lease_goes_on_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """Its holder renews it as soon as the server is there again."""
    journal = str(tmp_path / "journal.sqlite")
    with running_python("-c", SERVER, "0", journal, folder=ROOT) as (process, port):
        link = Link(port=port, timeout=PATIENCE)
        lease = link.lease("dds", owner="scan", seconds=PATIENCE).__enter__()
        process.kill()
        process.wait(PATIENCE)
    with running_python("-c", SERVER, str(port), journal, folder=ROOT):
        assert link.call("count") == 0
        lease.__exit__()
        assert holder(link) is None
