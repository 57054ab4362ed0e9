"""Programs that tests start: each in a process of its own, and none outlives its test."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.probe import PATIENCE

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def running(
    *command: str,
    folder: Path = ROOT,
    environment: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the length of a ``with`` block; one that hangs is killed.

    Its standard input, output and error are pipes.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        guard = threading.Timer(patience, process.kill)
        guard.start()
        try:
            yield process
        finally:
            process.kill()
            guard.cancel()
            guard.join()


@contextlib.contextmanager
def running_python(
    *arguments: str, folder: Path = ROOT, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a Python program that serves; gives it and its port once it is ready."""
    command = (sys.executable, *arguments)
    with running(*command, folder=folder, environment=environment) as process:
        ready = first_line(process)
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", ready)
        assert found is not None, ready + (process.stderr.read() if process.stderr else "")
        yield process, int(found[1])


def first_line(process: subprocess.Popen[str]) -> str:
    """The next line of a program's standard output."""
    assert process.stdout is not None
    return process.stdout.readline()


def finish(process: subprocess.Popen[str], patience: float = PATIENCE) -> tuple[int, str, str]:
    """Wait until a program ends; gives its exit code, and the rest of its output and errors."""
    output, errors = process.communicate(timeout=patience)
    return process.returncode, output, errors


PROGRAM = """
import sys
from tests.probe import Probe
import artiq_link
artiq_link.start_server({"dds": Probe()}, port=int(sys.argv[1]))
"""


def program(port: int = 0, script: str = PROGRAM) -> Any:
    """A server in a process of its own, and its port."""
    return running_python("-c", script, str(port), folder=ROOT)
