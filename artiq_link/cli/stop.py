"""``artiq-link stop``: have a server stop as by Ctrl-C, and wait until it has gone."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import Future

from .. import link_client
from .connection import add_connection_options, ask_link, link_to, print_json
from .exit_codes import SERVER_FAILED, SUCCESS

HELP = "stop the server as Ctrl-C does, and wait until it has gone"

TIMEOUT = 30.0
"""Seconds: running commands get 10 of them, the instruments have to be closed in the rest."""

LOOK = 1.0
"""Seconds between two looks at what still runs."""

SHORT_LOOK = 0.05
"""Seconds between two looks whether a server that has closed its instruments has gone."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = (
        "The exit code is 0 where it has gone and all its instruments are closed. It needs the "
        "role control on all of them; an open server is stopped from its own computer alone."
    )
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="do not wait for running commands, as a second Ctrl-C: they are asked to end, and "
        "the instruments of those that do not are left open",
    )
    add_connection_options(parser)
    parser.set_defaults(timeout=TIMEOUT)


def run(options: argparse.Namespace) -> int:
    """Say what still runs until the server has gone; returns the exit code."""
    deadline = link_client.Deadline(options.timeout)
    # It is kept: a server that stops lets nobody in, but goes on answering whoever is there.
    with link_to(options) as link:
        server = str(link_client.Peer(link.host, link.port))
        boot = ask_link(link, "link.status", "boot", "instruments")["boot"]
        answer = _ask_to_stop(options)
        try:
            left_open = _wait_for(answer, link, None if options.json else server)
            has_gone = left_open is not None and _goes(link, boot, deadline)
        except KeyboardInterrupt:
            print(f"{server} goes on stopping", file=sys.stderr)
            raise
    if left_open is None or not has_gone:
        within = f"within {deadline.timeout:g} s"
        print(f"{server} has not gone {within}; it goes on stopping", file=sys.stderr)
        return SERVER_FAILED
    if options.json:
        print_json({"left_open": left_open})
    elif not left_open:
        print(f"{server} has stopped; all its instruments are closed")
    else:
        print(f"{server} has stopped; not closed: {', '.join(left_open)} (its log says why)")
    return SERVER_FAILED if left_open else SUCCESS


def _ask_to_stop(options: argparse.Namespace) -> Future[list[str]]:
    """Ask in a thread of its own: the answer comes when the instruments are closed."""
    link, answer = link_to(options), Future[list[str]]()

    def ask() -> None:
        try:
            answer.set_result(link.call("link.stop", at_once=options.at_once, wait=True))
        except link_client.LinkError as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def _wait_for(
    answer: Future[list[str]], link: link_client.Link, server: str | None
) -> list[str] | None:
    """What was left open; None where the time was up before. To a person it says what still runs.

    Raises the `LinkError` of a server that does not stop.
    """
    while True:
        try:
            return answer.result(LOOK)
        except TimeoutError:
            if server is not None:
                _tell(link, server)
        except link_client.ServerFailed as error:
            if error.code != "timeout":
                raise
            return None


def _tell(link: link_client.Link, server: str) -> None:
    """Say what still runs, as far as the server still tells."""
    try:
        instruments = ask_link(link, "link.status", "instruments")["instruments"]
    except link_client.LinkError:
        return  # the answer is on its way
    running = [each["summary"] for each in instruments.values() if each["state"] == "busy"]
    what = "; ".join(running) or "its instruments are being closed"
    print(f"{server} is stopping, for at most {link.timeout:g} s: {what}", flush=True)


def _goes(link: link_client.Link, boot: str, deadline: link_client.Deadline) -> bool:
    """Whether the start of the server that has this name ends in time; another may follow."""
    while deadline.left():
        try:
            if ask_link(link, "link.status", "boot")["boot"] != boot:
                return True
        except link_client.LinkError:
            return True
        time.sleep(SHORT_LOOK)
    return False
