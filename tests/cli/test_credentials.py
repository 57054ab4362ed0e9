"""The command line shows a certificate or a token where a server wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from artiq_link import LinkServer
from artiq_link.cli.program import main
from tests.conftest import CONTROL_TOKEN, Certificates, Probe
from tests.server.asking import Serve

ADVICE = "give your token with --token-file FILE, or your certificate with --ssl CERT KEY PEER\n"


def ask(server: LinkServer, host: str, *options: str) -> int:
    return main(
        ["send", "count", "--host", host, "--port", str(server.port), "--timeout", "20", *options]
    )


def test_a_certificate(
    serve: Serve,
    certificates: Certificates,
    elsewhere: str,
    capsys: pytest.CaptureFixture[str],
    probe: Probe,
) -> None:
    server = serve(host=elsewhere, ssl=certificates.of_server)
    assert ask(server, elsewhere, "--ssl", *certificates.of()) == 0
    assert capsys.readouterr().out == "0\n"
    assert ask(server, elsewhere) == 1
    assert capsys.readouterr().err == (
        f"unauthorized: this address speaks TLS alone, with a certificate\n{ADVICE}"
    )
    wrong = ("no.pem", *certificates.of()[1:])
    assert ask(server, elsewhere, "--ssl", *wrong) == 2
    assert capsys.readouterr().err == ("ssl: no.pem: No such file or directory\n")


def test_a_token(
    serve: Serve,
    elsewhere: str,
    token_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From a file, which an option or the environment names; never on the command line itself."""
    server = serve(host=elsewhere, token_file=token_file)
    mine = tmp_path / "mine"
    mine.write_text(f"{CONTROL_TOKEN}\n")
    assert ask(server, elsewhere) == 1
    assert capsys.readouterr().err == (
        f"unauthorized: this server wants a token: give yours as link.token\n{ADVICE}"
    )
    mine.write_text("nobody-has-this-one\n")
    assert ask(server, elsewhere, "--token-file", str(mine)) == 1
    assert ADVICE not in capsys.readouterr().err
    mine.write_text(f"{CONTROL_TOKEN}\n")
    assert ask(server, elsewhere, "--token-file", str(mine)) == 0
    monkeypatch.setenv("ARTIQ_LINK_TOKEN_FILE", str(mine))
    assert ask(server, elsewhere) == 0
    mine.write_text("two words\n")
    assert ask(server, elsewhere) == 2
    assert capsys.readouterr().err == (
        f"{mine}: expected one token alone; the list of all is the server's\n"
    )
    mine.unlink()
    assert ask(server, elsewhere) == 2
    assert capsys.readouterr().err == f"{mine}: No such file or directory\n"
