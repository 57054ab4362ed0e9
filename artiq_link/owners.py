"""Who holds an instrument, in words for people."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from typing import Any

from .text import clock


def this_person() -> str:
    """What a person who sits here is called to those whose commands are refused."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


def holder_text(lease: Mapping[str, Any]) -> str:
    """Who holds an instrument until when, on this computer's clock; `lease` as `link.status`
    shows it."""
    return f"{lease['owner']!r} until {clock(lease['until'])}"
