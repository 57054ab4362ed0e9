"""What starts a server with its computer: a unit of systemd, a task of Windows' Task Scheduler."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

DEVICE_GROUPS = ("dialout", "uucp", "plugdev", "spi", "i2c", "gpio")
"""Whose members may open serial ports, USB adapters and chips, as distributions name them."""

WATCHDOG = 30
"""Seconds without a turn of the event loop after which the server is started anew."""

_TASKS = "http://schemas.microsoft.com/windows/2004/02/mit/task"
"""https://learn.microsoft.com/en-us/windows/win32/taskschd/task-scheduler-schema"""


class Service(NamedTuple):
    """What is to be started, by whom and where."""

    command: Sequence[str]
    """The program and its arguments; the program's path is absolute."""
    folder: PurePath
    """Where it is started, so that the files in its arguments are found; it may write there."""
    user: str


def system_unit(service: Service, groups: Iterable[str]) -> str:
    """A unit for /etc/systemd/system; `groups` are those of the computer that own devices.

    It may open every device and read every file that its user may, write in its folder and keep a
    journal, and not much else. Raises ValueError for what a unit cannot hold.
    """
    # As soon as its addresses are there.
    network = "Wants=network-online.target\nAfter=network-online.target\n"
    return f"""\
{_unit(service, network)}
User={_plain(service.user)}
# Serial ports, USB adapters, chips.
SupplementaryGroups={" ".join(groups)}
# The journal: /var/lib, the unit's name, artiq_link.
StateDirectory=%N
StateDirectoryMode=0700
Environment=XDG_STATE_HOME=%S/%N

# Neither PrivateDevices nor ProtectClock: both would take the instruments away.
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={quoted(str(service.folder))}
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""


def user_unit(service: Service) -> str:
    """A unit for ~/.config/systemd/user, which needs no administrator; see `system_unit`."""
    return f"""\
{_unit(service)}
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def task(service: Service) -> bytes:
    """A task that schtasks takes, in UTF-16 as it wants it.

    It starts with the computer, whoever is logged on, and again a minute after it has failed.
    """
    root = ET.Element("Task", version="1.2", xmlns=_TASKS)
    about = "Serves instruments to ARTIQ experiments."
    _add(root, "RegistrationInfo", {"Description": about})
    _add(root, "Triggers/BootTrigger", {"Enabled": "true"})
    principal = _add(
        root,
        "Principals/Principal",
        # S4U: without a password, and without a window.
        {"UserId": service.user, "LogonType": "S4U", "RunLevel": "LeastPrivilege"},
    )
    principal.set("id", "keeper")
    settings = _add(
        root,
        "Settings",
        {
            "MultipleInstancesPolicy": "IgnoreNew",
            "DisallowStartIfOnBatteries": "false",
            "StopIfGoingOnBatteries": "false",
            "StartWhenAvailable": "true",
            # Without a limit; a task's usual one is three days.
            "ExecutionTimeLimit": "PT0S",
            # A program's usual priority; a task's is below.
            "Priority": "5",
        },
    )
    _add(settings, "RestartOnFailure", {"Interval": "PT1M", "Count": "255"})
    program, *arguments = service.command
    _add(
        root,
        "Actions/Exec",
        {
            "Command": program,
            "Arguments": subprocess.list2cmdline(arguments),
            "WorkingDirectory": str(service.folder),
        },
    )
    root[-1].set("Context", "keeper")
    ET.indent(root)
    # Without a declaration: its byte order mark says how it is encoded.
    return f"{ET.tostring(root, encoding='unicode')}\n".encode("utf-16")


def quoted(argument: str) -> str:
    """A word of a unit's line that is a list of them (systemd.syntax(7), QUOTING)."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return _plain(f'"{escaped}"')


def _unit(service: Service, more: str = "") -> str:
    program, *arguments = service.command
    # In arguments, and there alone, a dollar would be a variable's.
    words = [quoted(program), *(quoted(each.replace("$", "$$")) for each in arguments)]
    folder = _plain(str(service.folder)).replace("%", "%%")
    return f"""\
# Written by artiq-link service.
[Unit]
Description=Instruments for ARTIQ experiments ({folder})
{more}# It is started again for as long as it takes: hardware may be plugged in later.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={" ".join(words)}
WorkingDirectory={folder}
WatchdogSec={WATCHDOG}
Restart=on-failure
RestartSec=5
# To open hardware may take long.
TimeoutStartSec=120
# Running commands get 10 s, the rest some more.
TimeoutStopSec=30
KillMode=mixed
# Where the watchdog ends it, the log shows what every thread did.
Environment=PYTHONFAULTHANDLER=1"""


def _plain(text: str) -> str:
    """A text that stands on one line as it is; raises ValueError otherwise."""
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise ValueError(f"{text!r:.100} cannot stand in a unit")
    return text


def _add(parent: ET.Element, path: str, texts: dict[str, str]) -> ET.Element:
    """Add an element, those above it in `path`, and one with a text for each of `texts`."""
    for name in path.split("/"):
        parent = ET.SubElement(parent, name)
    for name, text in texts.items():
        ET.SubElement(parent, name).text = text
    return parent
