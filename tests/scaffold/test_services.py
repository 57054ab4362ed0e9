"""What starts a server with its computer, as systemd and Windows read it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from artiq_link.scaffold.services import WATCHDOG, Service, quoted, system_unit, task, user_unit

SERVICE = Service(
    [sys.executable, "/home/lab/dds/server.py", "--bind", "*"], PurePosixPath("/home/lab"), "lab"
)


def lines_of(unit: str) -> list[str]:
    return unit.splitlines()


def test_a_unit_says_what_systemd_needs() -> None:
    unit = lines_of(system_unit(SERVICE, ["dialout", "spi"]))
    for line in (
        "Type=notify",
        f"WatchdogSec={WATCHDOG}",
        "Restart=on-failure",
        "User=lab",
        "SupplementaryGroups=dialout spi",
        "WorkingDirectory=/home/lab",
        f'ExecStart="{sys.executable}" "/home/lab/dds/server.py" "--bind" "*"',
        'ReadWritePaths="/home/lab"',
        "StateDirectory=%N",
        "WantedBy=multi-user.target",
    ):
        assert unit.count(line) == 1


@pytest.mark.parametrize("name", ["PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock"])
def test_a_unit_takes_no_device_away(name: str) -> None:
    """ProtectClock would allow the clock's device, and with that no other one."""
    assert f"\n{name}=" not in system_unit(SERVICE, [])


def test_a_users_unit_has_what_a_user_may_have() -> None:
    unit = lines_of(user_unit(SERVICE))
    assert "Type=notify" in unit
    assert "WantedBy=default.target" in unit
    assert not any(line.startswith(("User=", "Protect", "Supplementary")) for line in unit)


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed to look at it"
)
@pytest.mark.parametrize("kind", ["--system", "--user"])
def test_systemd_has_nothing_against_it(kind: str, tmp_path: Path) -> None:
    """Whatever stands in the names of folders and files."""
    folder = tmp_path / 'the "lab\'s" 100 % of $HOME\\n'
    folder.mkdir()
    (folder / "server.py").touch()
    service = Service([sys.executable, str(folder / "server.py"), "$X", "%i", ""], folder, "root")
    unit = tmp_path / "dds.service"
    unit.write_text(system_unit(service, ["tty"]) if kind == "--system" else user_unit(service))
    found = subprocess.run(
        ["systemd-analyze", kind, "verify", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    about_it = [line for line in found.stderr.splitlines() if "dds.service" in line]
    assert (found.returncode, about_it) == (0, [])


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("plain", '"plain"'),
        ("two words", '"two words"'),
        (' "quoted" ', '" \\"quoted\\" "'),
        ("C:\\x", '"C:\\\\x"'),
        ("100%", '"100%%"'),
        ("", '""'),
    ],
)
def test_words_are_quoted(argument: str, word: str) -> None:
    assert quoted(argument) == word


def test_a_dollar_is_no_variable() -> None:
    service = SERVICE._replace(command=[sys.executable, "$HOME.py"])
    assert '"$$HOME.py"' in user_unit(service)


@pytest.mark.parametrize("text", ["a\nUser=root", "a\x00", "\x1b[2J", "a\u2028b"])
def test_what_would_be_another_line_is_refused(text: str) -> None:
    for service in (
        SERVICE._replace(command=[sys.executable, text]),
        SERVICE._replace(folder=PurePosixPath(f"/{text}")),
    ):
        with pytest.raises(ValueError, match="cannot stand in a unit"):
            user_unit(service)
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        system_unit(SERVICE._replace(user=text), [])


WINDOWS = Service(
    ["C:\\Program Files\\Python\\python.exe", "C:\\lab & co\\server.py", "--token-file", "<a b>"],
    PureWindowsPath("C:\\lab & co"),
    "LAB\\müller",
)
NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def test_a_task_is_in_utf_16() -> None:
    assert task(WINDOWS).startswith((b"\xff\xfe<\x00", b"\xfe\xff\x00<"))


def test_a_task_starts_the_server_with_the_computer() -> None:
    root = ET.fromstring(task(WINDOWS))
    texts = {
        element.tag.removeprefix(NAMESPACE): element.text
        for element in root.iter()
        if not len(element)
    }
    assert root.tag == f"{NAMESPACE}Task"
    assert root.find(f"{NAMESPACE}Triggers/{NAMESPACE}BootTrigger") is not None
    assert texts["Command"] == "C:\\Program Files\\Python\\python.exe"
    assert texts["Arguments"] == '"C:\\lab & co\\server.py" --token-file "<a b>"'
    assert texts["WorkingDirectory"] == "C:\\lab & co"
    assert texts["UserId"] == "LAB\\müller"
    assert texts["ExecutionTimeLimit"] == "PT0S"


def test_a_task_is_what_the_schema_asks_for() -> None:
    """As far as this task goes: restartType, settingsType, principalType, execType."""
    root = ET.fromstring(task(WINDOWS))

    def children(path: str) -> dict[str, str]:
        found = root.find("/".join(f"{NAMESPACE}{name}" for name in path.split("/")))
        assert found is not None
        return {each.tag.removeprefix(NAMESPACE): each.text or "" for each in found}

    parts = [each.tag.removeprefix(NAMESPACE) for each in root]
    assert parts == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]
    restart = children("Settings/RestartOnFailure")
    assert restart.keys() == {"Interval", "Count"}
    assert restart["Interval"] == "PT1M"  # the least
    assert 1 <= int(restart["Count"]) <= 255
    assert 0 <= int(children("Settings")["Priority"]) <= 10
    assert children("Settings")["MultipleInstancesPolicy"] in {
        "Parallel",
        "Queue",
        "IgnoreNew",
        "StopExisting",
    }
    assert children("Principals/Principal")["LogonType"] == "S4U"
    assert children("Principals/Principal")["RunLevel"] == "LeastPrivilege"
    principal = root.find(f"{NAMESPACE}Principals/{NAMESPACE}Principal")
    actions = root.find(f"{NAMESPACE}Actions")
    assert principal is not None
    assert actions is not None
    assert principal.get("id") == actions.get("Context")
