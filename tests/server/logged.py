"""What the tests of the log share: a root logger as a program finds it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fresh_root_logger() -> Iterator[logging.Logger]:
    """The root logger without handlers, as a program finds it, and not as pytest leaves it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
