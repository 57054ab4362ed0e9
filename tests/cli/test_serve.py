"""``artiq-link serve``: a DDS by the options of its driver, or controllers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import LinkServer
from artiq_link.bridges import ndsp_controller
from artiq_link.cli.serve import controller_address
from artiq_link.errors import InstrumentError
from tests.programs import finish, running, running_python

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


def test_serve_serves_the_simulated_dds_and_says_so(run: Run) -> None:
    """Until a signal comes; without ``--simulation`` it warns that nothing here is real."""
    arguments = ("-m", "artiq_link", "serve", "-p", "0", "--no-localhost-bind")
    with running_python(*arguments, "--bind", "127.0.0.1") as (process, port):
        code, printed, _ = run("send", "dds.get", "channel=0", "--json", port=port)
        process.terminate()
        assert finish(process) == (
            0,
            "",
            "WARNING:artiq_link.cli.serve:no hardware is configured: the DDS is simulated\n",
        )
    assert (code, json.loads(printed)["result"]["name"]) == (0, "ch0")
    with running_python(*arguments, "--bind", "127.0.0.1", "--simulation") as (process, _):
        process.terminate()
        assert finish(process) == (0, "", "")


def test_serve_exits_with_2_where_the_port_is_taken(serve: Serve) -> None:
    port = serve().port
    with running(sys.executable, "-m", "artiq_link", "serve", "-q", "-p", str(port)) as process:
        code, printed, errors = finish(process)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("lab-pc:3249", ("lab-pc", 3249, None)),
        ("192.168.1.20:3249:laser", ("192.168.1.20", 3249, "laser")),
        ("[::1]:3249", ("::1", 3249, None)),
        ("[fe80::1%eth0]:3249:laser", ("fe80::1%eth0", 3249, "laser")),
        ("lab-pc:3249:laser:2", ("lab-pc", 3249, "laser:2")),
    ],
)
def test_a_controllers_address(text: str, peer: tuple[Any, ...]) -> None:
    assert controller_address(text) == peer


@pytest.mark.parametrize(
    "text", ["lab-pc", "3249", ":3249", "lab-pc:", "lab-pc:0", "lab-pc:65536", "::1:3249", "a:1:"]
)
def test_a_wrong_address_is_refused(run: Run, text: str) -> None:
    code, _, errors = run("serve", "--controller", text)
    assert code == 2
    assert errors.splitlines()[-1] == (
        f"artiq-link serve: error: argument --controller: {text!r} is not HOST:PORT or "
        "HOST:PORT:TARGET (an IPv6 address is put in brackets)"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--simulation",), "--simulation does not go with --controller"),
        (("--driver", "simulated"), "--driver does not go with --controller"),
        (("-d", "COM3"), "--device does not go with --controller"),
        (("--channels", "x"), "--channels does not go with --controller"),
    ],
)
def test_a_controller_needs_no_driver(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, _, errors = run("serve", *arguments, "--controller", "127.0.0.1:3249")
    assert code == 2
    assert errors.splitlines()[-1] == f"artiq-link serve: error: {sentence}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--no-localhost-bind",), "--no-localhost-bind leaves nothing to listen on: give --bind"),
        (("--trust-controller",), "--trust-controller goes with --controller"),
        (
            ("--driver", "simulated", "-d", "COM3"),
            "--driver simulated has no hardware: leave -d/--device out",
        ),
    ],
)
def test_options_that_do_not_fit(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, printed, errors = run("serve", "-p", "0", *arguments)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1] == f"artiq-link serve: error: {sentence}"


@pytest.mark.parametrize(("options", "trusted"), [((), False), (("--trust-controller",), True)])
def test_a_controller_is_trusted_only_when_told(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    trusted: bool,
) -> None:
    asked = []

    def refuse(*peer: Any, **options: Any) -> None:
        asked.append((peer, options))
        raise InstrumentError("not today")

    monkeypatch.setattr(ndsp_controller, "NdspController", refuse)
    arguments = ("serve", "-p", "0", "--controller", "lab-pc:3249", *options)
    assert run(*arguments) == (2, "", "not today\n")
    assert asked == [(("lab-pc", 3249, None), {"trusted": trusted})]
