"""``artiq-link lease``: to hold an instrument by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from artiq_link import LinkServer
from tests.conftest import Probe

Run = Callable[..., tuple[int, str, str]]


def test_a_lease_can_be_taken_used_and_released(run: Run, port: int) -> None:
    code, printed, errors = run("lease", "dds", "--owner", "Anna", port=port)
    assert (code, errors) == (0, "")
    sentence, number = printed.splitlines()
    assert re.fullmatch(r"dds: held by 'Anna' until (\S+ )?\d\d:\d\d:\d\d", sentence)

    assert run("lease", port=port) == (0, f"{sentence}\n", "")
    assert "dds: idle; held by 'Anna' until " in run("status", port=port)[1]
    code, _, errors = run("send", "count", port=port)
    assert code == 1
    assert errors.startswith("leased: dds is held by 'Anna' until ")
    advice = "artiq-link lease INSTRUMENT --force takes it from whoever holds it"
    assert errors.splitlines()[1] == advice
    link = f'link={{"lease": {number}}}'
    assert run("send", "count", link, port=port) == (0, "0\n", "")

    assert run("lease", "--release", number, port=port) == (0, "", "")
    assert run("lease", port=port) == (0, "dds: held by nobody\n", "")
    code, _, errors = run("lease", "--release", number, port=port)
    assert (code, errors) == (1, f"stale: the lease {number} has ended\n")


def test_force_says_from_whom_it_was_taken(run: Run, port: int) -> None:
    run("lease", "dds", "--owner", "a dead scan", port=port)
    code, _, errors = run("lease", "dds", port=port)
    assert (code, errors[:36]) == (1, "leased: dds is held by 'a dead scan'")
    code, printed, _ = run("lease", "dds", "--owner", "Anna", "--force", port=port)
    assert code == 0
    taken, held, number = printed.splitlines()
    assert taken.startswith("taken from 'a dead scan' until ")
    assert held.startswith("dds: held by 'Anna' until ")
    assert int(number)


def test_json_is_for_programs(run: Run, serve: Callable[..., LinkServer]) -> None:
    port = serve({"dds": Probe(), "stage": Probe()}).port
    code, printed, _ = run("lease", "dds", "--owner", "Anna", "--json", port=port)
    told = json.loads(printed)
    assert (code, list(told)) == (0, ["lease", "until", "former"])
    code, printed, _ = run("lease", "--json", port=port)
    assert json.loads(printed) == {"dds": {"owner": "Anna", "until": told["until"]}, "stage": None}


def test_force_needs_an_instrument(run: Run, port: int) -> None:
    code, _, errors = run("lease", "--force", port=port)
    assert code == 2
    assert "--force: say which instrument" in errors
