"""``artiq-link service``: write what starts a server with its computer."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from pathlib import Path

from ..scaffold.services import DEVICE_GROUPS, Service, system_unit, task, user_unit
from .exit_codes import SUCCESS

HELP = "write what starts a server with its computer: for systemd, or for Windows"

NAME = "artiq-link"
"""Of the service, where no file says another."""

OF_SYSTEM = """\
start it with the computer, and now:
  sudo install -m 644 {file} /etc/systemd/system/{name}.service
  sudo systemctl daemon-reload
  sudo systemctl enable --now {name}
what it does, and its log:
  systemctl status {name}
  journalctl -u {name} -f"""

OF_USER = """\
start it with the computer, and now:
  mkdir -p ~/.config/systemd/user
  install -m 644 {file} ~/.config/systemd/user/{name}.service
  systemctl --user daemon-reload
  systemctl --user enable --now {name}
  loginctl enable-linger
what it does, and its log:
  systemctl --user status {name}
  journalctl --user -u {name} -f"""

OF_WINDOWS = """\
start it with the computer, and now, in a terminal of an administrator:
  schtasks /Create /TN {name} /XML {file}
  schtasks /Run /TN {name}
what it does:
  schtasks /Query /TN {name} /V /FO LIST
stop it, with its --port where it has one (schtasks /End would leave its instruments open):
  artiq-link stop"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.usage = "artiq-link service [-h] [-o FILE] [--user] [SERVER [OPTION ...]]"
    parser.description = (
        "Write what starts a server with the computer: a unit of systemd, or on Windows a task "
        "for its Task Scheduler. Nothing is installed; how to is said."
    )
    parser.epilog = "example: artiq-link service -o dds.service server.py --port 65433"
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write it there, and do not print it"
    )
    parser.add_argument(
        "--user", action="store_true", help="systemd: a unit that needs no administrator"
    )
    parser.add_argument(
        "server",
        nargs=argparse.REMAINDER,
        metavar="SERVER [OPTION ...]",
        help="the server as you start it here, from its file on (default: server.py); or serve "
        "with its options, for artiq-link serve",
    )
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Write it, and say what to do with it; returns the exit code."""
    name = NAME if options.output is None else options.output.stem
    try:
        text, advice = _written(options, name)
    except ValueError as error:
        options.parser.error(str(error))
    file = options.output or Path(f"{name}{'.xml' if advice is OF_WINDOWS else '.service'}")
    if options.output is None:
        print(text.decode("utf-16" if advice is OF_WINDOWS else "utf-8"), end="", flush=True)
        print(f"put this into a file {file}; -o {file} does so", file=sys.stderr)
    else:
        try:
            options.output.write_bytes(text)
        except OSError as error:
            options.parser.error(f"{options.output} cannot be written: {error.strerror}")
        print(f"written: {options.output}", file=sys.stderr)
    print(advice.format(name=name, file=file), file=sys.stderr)
    return SUCCESS


def _written(options: argparse.Namespace, name: str) -> tuple[bytes, str]:
    """The file's content, and what to do with it; raises ValueError."""
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise ValueError(f"{name!r} cannot be a service's name: letters, digits, _, - and . only")
    command = _command(options.server or ["server.py"])
    if sys.platform == "win32":
        if options.user:
            raise ValueError("--user is systemd's; a task of Windows is its user's anyway")
        if "--log-file" not in command:
            # Nobody reads what a task prints.
            command += ["--log-file", str(Path.cwd() / f"{name}.log")]
        user = f"{os.environ['USERDOMAIN']}\\{getpass.getuser()}"
        return task(Service(command, Path.cwd(), user)), OF_WINDOWS
    service = Service(command, Path.cwd(), getpass.getuser())
    if options.user:
        return user_unit(service).encode(), OF_USER
    return system_unit(service, _device_groups()).encode(), OF_SYSTEM


def _command(server: list[str]) -> list[str]:
    """What is started: this Python, and what it runs."""
    program, *arguments = server
    if program == "serve":
        return [sys.executable, "-m", "artiq_link", "serve", *arguments]
    path = Path.cwd() / program
    if not path.is_file():
        raise ValueError(
            f"there is no file {program!r} here: say which server is to be started, such as "
            "server.py, or serve for artiq-link serve"
        )
    return [sys.executable, str(path), *arguments]


def _device_groups() -> list[str]:
    """Those of this computer; systemd starts nothing where one is missing."""
    import grp

    known = {group.gr_name for group in grp.getgrall()}
    return [name for name in DEVICE_GROUPS if name in known]
