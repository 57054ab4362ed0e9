"""The desktop client: a window whose forms are made from what the server says of its commands.

exchanges   takes messages to the server in one of three dialects; knows no Qt
session     what is asked of the server beside them, and what it tells by itself
forms       forms made from commands, their fields from JSON Schemas
pictures    what of an answer can be drawn; knows no Qt, and plots draws it
window      where all of it stands, and what follows from what its user does
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from ..server.addresses import LAST_PORT

__all__ = ["main"]

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Without any of these variables Qt aborts the program on Linux."""


def main(
    host: str | None = None,
    port: int | None = None,
    ssl: Sequence[str] | None = None,
    link: Mapping[str, str] | None = None,
) -> int:
    """Show the window until it is closed; returns the exit code.

    Connects to `host` and `port`, and where they are not given to those of the last time. A server
    that wants a certificate is shown that of `ssl`, as by `link_client`, and one that wants a
    token the `link` with it, whatever host is chosen in the window. The
    code is 1 without PySide6, and 2 where `port` is none or there is no screen.
    """
    if port is not None and not 0 < port <= LAST_PORT:
        print(f"port: expected 1 to {LAST_PORT}, got {port}", file=sys.stderr)
        return 2
    if sys.platform == "linux" and not any(map(os.environ.get, SCREENS)):
        print(
            "the desktop client needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY names "
            "one: start it on a desktop, or over ssh -X",
            file=sys.stderr,
        )
        return 2
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        print(
            f"the desktop client needs PySide6 ({error}): install it with "
            'pip install ".[gui]" in the project',
            file=sys.stderr,
        )
        return 1
    from .window import run

    return run(host, port, ssl, link)
