"""``artiq-link service``: what is written, and what is said about it."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a server."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").touch()
    return tmp_path


def test_a_unit_is_printed_and_its_use_is_said(run: Run, folder: Path) -> None:
    """One goes into a file, the other to the terminal."""
    code, output, errors = run("service")
    assert code == 0
    assert f'ExecStart="{sys.executable}" "{folder}/server.py"\n' in output
    assert f"User={getpass.getuser()}\n" in output
    assert errors == (
        "put this into a file artiq-link.service; -o artiq-link.service does so\n"
        "start it with the computer, and now:\n"
        "  sudo install -m 644 artiq-link.service /etc/systemd/system/artiq-link.service\n"
        "  sudo systemctl daemon-reload\n"
        "  sudo systemctl enable --now artiq-link\n"
        "what it does, and its log:\n"
        "  systemctl status artiq-link\n"
        "  journalctl -u artiq-link -f\n"
    )


def test_a_unit_is_written_under_its_name(run: Run, folder: Path) -> None:
    code, output, errors = run("service", "-o", "dds.service", "server.py")
    assert (code, output) == (0, "")
    assert errors.startswith("written: dds.service\n")
    assert "sudo systemctl enable --now dds\n" in errors
    assert (folder / "dds.service").read_text().startswith("# Written by artiq-link service.\n")


def test_options_behind_the_server_are_its_own(run: Run, folder: Path) -> None:
    _, output, _ = run("service", "--user", "server.py", "--user", "-o", "x", "--bind", "*")
    assert f'"{folder}/server.py" "--user" "-o" "x" "--bind" "*"\n' in output
    assert "WantedBy=default.target\n" in output
    assert not (folder / "x").exists()


def test_artiq_links_own_server_can_be_started(run: Run) -> None:
    _, output, _ = run("service", "serve", "--driver", "simulated")
    assert (
        f'ExecStart="{sys.executable}" "-m" "artiq_link" "serve" "--driver" "simulated"\n'
    ) in output


def test_a_users_unit_needs_no_administrator(run: Run) -> None:
    _, _, errors = run("service", "--user")
    assert "sudo" not in errors
    assert "loginctl enable-linger" in errors


def test_a_server_that_is_not_there_is_said(run: Run) -> None:
    code, output, errors = run("service", "oven.py")
    assert (code, output) == (2, "")
    assert errors.endswith(
        "error: there is no file 'oven.py' here: say which server is to be started, such as "
        "server.py, or serve for artiq-link serve\n"
    )


def test_a_folder_that_is_not_there_is_said(run: Run) -> None:
    code, _, errors = run("service", "-o", "no/dds.service")
    assert code == 2
    assert errors.endswith("error: no/dds.service cannot be written: No such file or directory\n")


def test_a_full_disk_is_said(run: Run) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device is always full here")
    code, _, errors = run("service", "-o", "/dev/full")
    assert code == 2
    assert errors.endswith("error: /dev/full cannot be written: No space left on device\n")


@pytest.mark.parametrize("name", ["my dds", "$(reboot)", "ü", "a;b"])
def test_a_name_that_a_shell_would_read_is_none(run: Run, folder: Path, name: str) -> None:
    code, _, errors = run("service", "-o", f"{name}.service")
    assert code == 2
    assert errors.endswith(
        f"error: {name!r} cannot be a service's name: letters, digits, _, - and . only\n"
    )
    assert not (folder / f"{name}.service").exists()


def test_a_task_is_written_on_windows(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a log, because nobody would read what it prints."""
    monkeypatch.setenv("USERDOMAIN", "LAB")
    monkeypatch.setattr(sys, "platform", "win32")
    code, _, errors = run("service", "-o", "dds.xml", "server.py", "--port", "65433")
    assert code == 0
    assert "schtasks /Create /TN dds /XML dds.xml\n" in errors
    assert errors.endswith(":\n  artiq-link stop\n")
    text = (folder / "dds.xml").read_text(encoding="utf-16")
    assert f"<UserId>LAB\\{getpass.getuser()}</UserId>" in text
    assert f"server.py --port 65433 --log-file {folder}/dds.log</Arguments>" in text
    assert run("service", "--user")[0] == 2
