"""How numbers, names, kinds of values and failures are written for people."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LONGEST_NAME = 100
"""Characters of a name that are compared with the known ones: `difflib` takes memory and time for
each, and a client may send 64 MiB of them."""

LONGEST_SHOWN = 200
"""Characters of somebody's text that are shown: more than a name or a sentence has."""

_JSON_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def written(value: float) -> str:
    """`value` as a person writes it, in the fewest digits that are exact: 5e8, 0.25."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"(of {value.bit_length()} bits)"  # beyond floats, and soon beyond int's repr
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return np.format_float_positional(float(value), trim="-")
    return np.format_float_scientific(float(value), trim="-", exp_digits=1).replace("+", "")


def clock(moment: float) -> str:
    """A moment of `time.time`, on this computer's clock: 21:04:05, with another day's date."""
    then = time.localtime(moment)
    is_today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", then)


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the one among `known` most like `name`; empty where none is."""
    near = difflib.get_close_matches(name[:LONGEST_NAME], known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def json_kind(value: Any) -> str:
    """Name the kind of a parsed JSON value as its user would: ``an array``, ``a number``."""
    return _JSON_KINDS.get(type(value), type(value).__name__)


def begin_of(value: Any, most: int = 60) -> str:
    """How a value's repr() begins; a text is not read further than that, however long it is."""
    return repr(value[:most] if isinstance(value, (str, bytes)) else value)[:most]


def shown(text: str, most: int = LONGEST_SHOWN) -> str:
    """Somebody's text on one line: what cannot be printed as escapes, and no more than `most`.

    What is left out is counted.
    """
    left_out = len(text) - most
    if left_out > 0:
        text = f"{text[:most]}... ({left_out} more characters)"
    return escaped(text)


def escaped(text: str, but: str = "") -> str:
    """`text` with what cannot be printed as escapes, except the characters of `but`.

    So it can neither begin a new line nor command a terminal, nor change the order of what is
    read (Unicode's directional marks).
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in but else sign.encode("unicode_escape").decode()
        for sign in text
    )


def writable(text: str) -> str:
    """`text` with escapes for what no dialect can carry: the names of files can have lone
    surrogates, in the place of bytes that are no UTF-8."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def without_folders(text: str) -> str:
    """`text` with the last name alone of each absolute path, for those who are not to know more.

    ``/home/lab/oven/table.csv`` and ``C:\\lab\\oven\\table.csv`` become ``table.csv``.
    """
    return _FOLDERS.sub("", text)


# Not of an address, such as http://lab-pc/a/b, nor of a fraction.
_FOLDERS = re.compile(r"""(?<![\w/\\.:])(?:[A-Za-z]:[\\/]+|~?/|\\\\)(?:[^\s'"()/\\:]+[\\/]+)+""")


def sentence_of(error: BaseException) -> str:
    """The text of an exception that is no `ExchangeError`, with its class where that says more."""
    try:
        text = writable(str(error))
    except Exception:  # noqa: BLE001 a bug in its class; it must not end the worker's thread
        text = ""
    if not text:
        return type(error).__name__
    # "'param1'" is all that KeyError says, and "3" all of SystemExit.
    if isinstance(error, KeyError) or not isinstance(error, Exception):
        return f"{type(error).__name__}: {text}"
    return text
