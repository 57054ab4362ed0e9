"""Files that hold a secret: opened only where nobody but their owner can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class UnsafeFile(OSError):
    """A file cannot be read, or others can read it as well; the text says which, and why."""


def read_private(path: str) -> str:
    """The text of a file that only its owner can read; raises `UnsafeFile`.

    Windows has no such bits: there the folder's permissions are all there is.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except OSError as error:
        raise UnsafeFile(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnsafeFile(f"{path}: it is not text in UTF-8") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeFile(f"{path}: others than its owner can read it: chmod 600 {path}")
    return text
