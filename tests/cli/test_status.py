"""``artiq-link status``: the instruments, what they do, and a table of costs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from artiq_link import Link, LinkServer, __version__
from tests.conftest import PATIENCE, Probe, until
from tests.programs import finish, running

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


def test_status_says_what_the_instruments_do(run: Run, serve: Serve, probe: Probe) -> None:
    port = serve({"dds": probe, "stage": Probe()}).port
    command = (sys.executable, "-m", "artiq_link", "send", "--port", str(port))
    command += ("--timeout", str(PATIENCE))
    with running(*command, "dds.wait") as busy:
        assert probe.started.wait(PATIENCE)
        with running(*command, "dds.count") as waiting:
            until(lambda: "1 more in the queue" in run("status", port=port)[1])
            code, printed, errors = run("status", port=port)
            probe.go_on.set()
            assert (finish(busy)[0], finish(waiting)[0]) == (0, 0)
    assert (code, errors) == (0, "")
    first, dds, end, stage, *_ = printed.splitlines()
    assert re.fullmatch(
        rf"127\.0\.0\.1:{port}: artiq_link {re.escape(__version__)}, up for 0:\d\d:\d\d", first
    )
    assert dds == "dds: busy with dds.wait, 12.0 of 60.0 s; 1 more in the queue"
    assert re.fullmatch("  to end it: artiq-link send link.abort id=[0-9a-f]{32}", end)
    assert stage == "stage: idle"


def test_status_ends_no_command_that_somebody_holds_or_whose_id_is_no_text(
    run: Run, serve: Serve, probe: Probe
) -> None:
    """Its lease's holder alone may end it; and what a client calls itself commands no terminal."""
    port = serve({"dds": probe}).port
    for name, seconds in (("\x1b[2J", 0.0), ("scan 1", PATIENCE)):
        probe.started.clear()
        probe.go_on.clear()
        link = Link(port=port)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(link.send, {"command_id": "wait", "link": {"id": name}})
            assert probe.started.wait(PATIENCE)
            if seconds:
                assert (
                    "  to end it: artiq-link send link.abort id='scan 1'"
                    in (run("status", port=port)[1])
                )
                Link(port=port).call(
                    "link.acquire", instrument="dds", owner="Anna", seconds=seconds
                )
            assert "to end it" not in run("status", port=port)[1]
            probe.go_on.set()
            assert waiting.result()["status"] == "success"


def test_status_has_a_table_of_costs(run: Run, port: int, probe: Probe) -> None:
    run("send", "--json", "count", port=port)
    run("send", "--json", "refuse", port=port)
    _, printed, _ = run("status", port=port)
    rows = {line.split()[0]: line for line in printed.split("\n\n")[-1].splitlines()}
    assert rows["command"].split(None, 1)[1].split("  ")[0] == "exchanges"
    time = r"[0-9.]+ [unm]?s, [0-9.]+ [unm]?s"
    assert re.fullmatch(rf"count +1 +0 +{time} +{time} +{time}", rows["count"])
    assert re.fullmatch(rf"refuse +1 +1 +{time} +{time} +{time}", rows["refuse"])


def test_a_new_server_has_no_table(run: Run, port: int) -> None:
    _, printed, _ = run("status", port=port)
    assert len(printed.splitlines()) == 2


def test_status_json_prints_what_the_server_says(run: Run, port: int) -> None:
    code, printed, _ = run("status", "--json", port=port)
    status = json.loads(printed)
    assert (code, status["instruments"]["dds"]["state"]) == (0, "idle")
