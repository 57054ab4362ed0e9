"""The main job shown: the server with its simulated DDS, the client, and the command line.

Starts ``server.py`` on a free port, runs ``client.py``, some ``artiq-link`` commands and one
command in each dialect against it, shows every exchange, and stops the server. ``make demo`` runs
it.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]

LONGEST_LINE = 200
"""Characters shown of a message; a whole description of the DDS has thousands."""

if sys.platform == "win32":
    # There is no SIGTERM on Windows; Ctrl-Break reaches a process group alone.
    STOP, FLAGS = signal.CTRL_BREAK_EVENT, subprocess.CREATE_NEW_PROCESS_GROUP
else:
    STOP, FLAGS = signal.SIGTERM, 0


def run(*command: str) -> None:
    """Show a command and run it; a failure ends the demo."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command[1:]], cwd=ROOT, check=True)


def main() -> None:
    """Run the demo; raises CalledProcessError where a part of it fails."""
    command = ["python", "server.py", "--port", "0", "--simulation", "--debug"]
    print(f"$ {shlex.join(command)}", flush=True)
    with (
        subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            creationflags=FLAGS,
        ) as server,
        ThreadPoolExecutor(1) as reader,
    ):
        assert server.stdout is not None
        ready = server.stdout.readline()
        print(ready, end="", flush=True)
        port = ready.rpartition(":")[2].strip()
        # A server that nobody reads would wait for room in the pipe.
        output = reader.submit(server.stdout.read)
        try:
            run("python", "client.py", "--port", port)
            link = ("python", "-m", "artiq_link")
            run(*link, "send", "--port", port, "set_frequency", "channel=0", "frequency=123.4MHz")
            run(*link, "send", "--port", port, "set_many", "settings="
                '[{"channel": 0, "phase": 0.25}, {"channel": 1, "frequency": 10e6}]')  # fmt: skip
            run(*link, "send", "--port", port, "--json", "get", "channel=0")
            run("python", "examples/dialects.py", port)
            run(*link, "describe", "--port", port)
            run(*link, "ping", "--port", port, "--count", "5")
        finally:
            server.send_signal(STOP)
        print("\nwhat the server printed:")
        for line in output.result().splitlines():
            print(line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + " ...")
    print(f"\nthe server stopped with exit code {server.returncode}")
    if server.returncode != 0:
        raise SystemExit("the server did not stop cleanly")


if __name__ == "__main__":
    main()
