"""artiq-link certificate: two files that TLS takes, with either of two makers."""

from __future__ import annotations

import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from artiq_link import Link, LinkServer
from artiq_link.cli import certificate
from artiq_link.cli.program import main
from tests.server.asking import Serve


@pytest.fixture(params=["cryptography", "openssl"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What makes the certificates."""
    if request.param == "openssl":
        monkeypatch.setitem(sys.modules, "cryptography", None)
        monkeypatch.setitem(sys.modules, "cryptography.x509", None)
    return str(request.param)


def test_they_let_each_other_in(
    maker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    serve: Serve,
) -> None:
    """As the page on security shows it; only its owner can read a key."""
    monkeypatch.chdir(tmp_path)
    for name in ("lab-pc", "master"):
        assert main(["certificate", name]) == 0
        assert capsys.readouterr().out == (
            f"{name}.pem: the certificate, for whoever is to trust {name}\n"
            f"{name}.key: its key, a secret of {name} alone\n"
        )
        assert stat.S_IMODE(Path(f"{name}.key").stat().st_mode) == 0o600
    server: LinkServer = serve(ssl=["lab-pc.pem", "lab-pc.key", "master.pem"])
    link = Link(port=server.port, ssl=["master.pem", "master.key", "lab-pc.pem"])
    assert link.call("link.ping") is True
    decoded = ssl._ssl._test_decode_cert("lab-pc.pem")  # type: ignore[attr-defined]
    assert decoded["subject"] == decoded["issuer"] == ((("commonName", "lab-pc"),),)


def test_a_browser_finds_the_servers_addresses_in_it(
    maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of whom it is asked for, and none unless they are given."""
    monkeypatch.chdir(tmp_path)
    assert main(["certificate", "lab-pc", "192.168.1.20", "fd00::20", "lab-pc.example.org"]) == 0
    decoded = ssl._ssl._test_decode_cert("lab-pc.pem")  # type: ignore[attr-defined]
    assert decoded["subjectAltName"] == (
        ("IP Address", "192.168.1.20"),
        ("IP Address", "FD00:0:0:0:0:0:0:20"),
        ("DNS", "lab-pc.example.org"),
    )
    assert main(["certificate", "desk"]) == 0
    assert "subjectAltName" not in ssl._ssl._test_decode_cert("desk.pem")  # type: ignore[attr-defined]


@pytest.mark.parametrize("address", ["a b", "lab_pc,DNS:x", "-x.org", "https://192.168.1.20"])
def test_what_is_no_address(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["certificate", "lab-pc", "--", address])
    told = f"{address!r} is neither an IP address nor the name of a computer"
    assert told in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab-pc.key").write_text("mine")
    assert main(["certificate", "lab-pc"]) == 2
    assert capsys.readouterr().err == "lab-pc.key is there already\n"
    assert [path.name for path in tmp_path.iterdir()] == ["lab-pc.key"]
    assert Path("lab-pc.key").read_text() == "mine"


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["certificate", "lab-pc"]) == 2
    assert capsys.readouterr().err == "lab-pc.key: No such file or directory\n"


def test_without_either_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["certificate", "lab-pc"]) == 2
    assert capsys.readouterr().err == (
        "a certificate takes the package cryptography (python -m pip install cryptography) or the "
        "program openssl, and neither is here\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_openssl_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\necho 'first' >&2; echo 'no entropy today' >&2; exit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(certificate.shutil, "which", lambda name: str(program))
    assert main(["certificate", "lab-pc"]) == 2
    assert capsys.readouterr().err == "openssl has made none: no entropy today\n"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a b", "x" * 65])
def test_names_that_are_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["certificate", "--", name])
    assert ended.value.code == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("is no name: up to 64 letters, digits, _, - and .")
    )


def test_sipycos_own_command_makes_what_is_taken(tmp_path: Path, serve: Serve) -> None:
    """Certificates that a laboratory has already, as sipyco's manual makes them."""
    for name in ("server", "client"):
        made = f"openssl req -x509 -newkey rsa -keyout {name}.key -nodes -out {name}.pem -sha256"
        subprocess.run(
            [*made.split(), "-subj", "/"], cwd=tmp_path, check=True, capture_output=True
        )
    server_files, client_files = (
        [str(tmp_path / file) for file in files]
        for files in (
            ("server.pem", "server.key", "client.pem"),
            ("client.pem", "client.key", "server.pem"),
        )
    )
    server = serve(ssl=server_files)
    assert Link(port=server.port, ssl=client_files).call("link.ping") is True
