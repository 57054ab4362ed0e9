"""Who holds an instrument, in words for people."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Mapping
from typing import Any


def this_person() -> str:
    """What a person who sits here is called to those whose commands are refused."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


def holder_text(lease: Mapping[str, Any]) -> str:
    """Who holds an instrument until when, on this computer's clock; `lease` as `link.status`
    shows it."""
    until = time.strftime("%H:%M:%S", time.localtime(lease["until"]))
    return f"{lease['owner']!r} until {until}"
