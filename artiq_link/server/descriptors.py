"""Open files: how many a program may have, and how many connections that leaves room for."""

from __future__ import annotations

import sys

try:
    import resource
except ImportError:  # Windows, which limits memory alone
    resource = None  # type: ignore[assignment]

OTHER_FILES = 256
"""Open files of a program beside its connections: the instruments', the log's, the loop's."""


def allow_files(connections: int) -> None:
    """Let this program open so many connections, as far as the system's hard limit allows.

    Many systems begin with 1024 files for a program.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for_connections() -> int:
    """How many connections there may be beside `OTHER_FILES`, which are half of few.

    Where no file can be opened any more, a listener has no way to refuse a client with a word.
    """
    if resource is None:
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(soft - OTHER_FILES, soft // 2)
