"""Median exchange of `send_data` with ``python server.py``, beside a bare connect, echo, close.

Both servers run in processes of their own, both clients in this one, turn by turn, so that the
ratio holds whatever else the computer does. Run with ``make bench``.
"""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from artiq_link.link_client import send_data

ROOT = Path(__file__).parents[1]
COUNT = 3000
WARM_UP = 300
COMMAND = {"command_id": "set_frequency", "channel": 0, "frequency": 80e6}

ECHO_SERVER = """
import socket
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(65536))
"""


@contextlib.contextmanager
def server(*command: str) -> Iterator[int]:
    """Run a server program; gives the port that it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None, f"{command} did not start"
        try:
            yield int(found[1])
        finally:
            process.terminate()


def echo(port: int, message: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(message)
        assert connection.recv(65536) == message


def exchange(port: int) -> None:
    reply = send_data(COMMAND, port=port)
    assert reply is not None
    assert reply["status"] == "success", reply


def main() -> None:
    message = b'{"command_id": "set_frequency", "channel": 0, "frequency": 80000000.0}'
    with (
        server(sys.executable, "server.py", "-p", "0") as link_port,
        server(sys.executable, "-c", ECHO_SERVER) as echo_port,
    ):
        bare, link = [], []
        for number in range(COUNT + WARM_UP):
            start = time.perf_counter()
            echo(echo_port, message)
            middle = time.perf_counter()
            exchange(link_port)
            end = time.perf_counter()
            if number >= WARM_UP:
                bare.append(middle - start)
                link.append(end - middle)
    bare_median, link_median = statistics.median(bare), statistics.median(link)
    print(f"bare connect, echo, close: {bare_median * 1e6:7.1f} us")
    print(f"send_data, set_frequency:  {link_median * 1e6:7.1f} us")
    print(f"ratio: {link_median / bare_median:.2f} (median of {COUNT} each, turn by turn)")


if __name__ == "__main__":
    main()
