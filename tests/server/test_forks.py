"""A command that forks: its child keeps neither the server's port nor its connections."""

from __future__ import annotations

import os

import pytest

from artiq_link import Link
from tests.conftest import PATIENCE
from tests.programs import running_python

PROGRAM = """
import os, sys
import artiq_link

class Camera(artiq_link.Instrument):
    '''Has a program of its own that computes.'''

    @artiq_link.command
    def begin(self) -> None:
        if os.fork() == 0:
            sys.stdin.read()  # until the test is over
            os._exit(0)

artiq_link.start_server({"camera": Camera()}, port=int(sys.argv[1]), journal=False)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_the_servers_death_its_children_keep_nothing_of_it() -> None:
    """Who is connected is told at once, and another server gets the port."""
    with running_python("-c", PROGRAM, "0") as (process, port):
        with Link(port=port, timeout=PATIENCE) as idle, Link(port=port, timeout=PATIENCE) as link:
            idle.call("link.ping")
            link.call("begin")
            process.kill()
            process.wait()
            with running_python("-c", PROGRAM, str(port)) as (_, again):
                assert again == port
                for each in (idle, link):
                    assert each.call("link.ping") is True
