"""The names that a new instrument can have: of files, of variables, and of commands' prefixes."""

from __future__ import annotations

import builtins
import io
import keyword
import re
import tokenize
import unicodedata
from collections.abc import Iterable

LONGEST_NAME = 40
"""Characters; it stands in front of commands, in names of files, and in lines of code."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def check_name(name: str, files: Iterable[str]) -> None:
    """Raise ValueError where an instrument in these files of Python cannot have the name.

    The sentence says one that it can have.
    """
    taken = {*keyword.kwlist, *dir(builtins), *_names_in(files), "link"}
    near = _nearest_name(name) or "beam_shutter"
    # pytest would take all files of a "test" for tests.
    if taken & {near, class_name(near)} or f"{near}_".startswith("test_"):
        near = f"my_{near}"
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"an instrument's name has at most {LONGEST_NAME} characters, not {len(name)}"
        )
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be an instrument's name: it begins with a small letter, and has "
            f"small letters, digits and single underscores, such as {near!r}"
        )
    if name != near:
        raise ValueError(
            f"{name!r} means something else in an instrument's files: choose another name, such "
            f"as {near!r}"
        )


def class_name(name: str) -> str:
    """The class of an instrument: ``BeamShutter`` for ``beam_shutter``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _nearest_name(name: str) -> str:
    """The name that somebody wanted who typed ``Beam-Shutter``; empty where there is none."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    near = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return near if _NAME.fullmatch(near) else ""


def _names_in(files: Iterable[str]) -> set[str]:
    """The names that the code in texts of Python has."""
    return {
        token.string
        for text in files
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME
    }
