"""EOT text: a JSON object whose one key is the command, answered in a line of plain text.

``{"image": {"file": "a.jpg"}}`` and EOT is answered ``O.k.`` or ``Error: ...`` with CR and LF.
ZEISS INSPECT's example of inter-process communication over sockets speaks it. Its requests are
framed as those of the JSON dialect are, so `JsonWire` receives them.
"""

from __future__ import annotations

import re
from typing import Any

from ..exchanges.messages import Reply
from ..instrument.data import OWN_KEYS, Data

MALFORMED = "Malformed JSON message."
"""The sentence for a broken request; clients of the dialect compare it."""

_BEGIN = re.compile(rb'\{\s*"([^"\\]*)"\s*:\s*\{')


def data_of(message: Any) -> Data | None:
    """What a parsed object in this dialect asks for, None where it is none.

    It has a single key, neither ``command_id`` nor ``link``, which holds an object: the
    parameters, and ``link`` beside them.
    """
    match message:
        case dict() if len(message) == 1 and not OWN_KEYS & message.keys():
            ((command_id, parameters),) = message.items()
            if isinstance(parameters, dict):
                link = parameters.pop("link", None)
                return Data(command_id, parameters, link)
    return None


def is_begun_in(text: bytes | bytearray) -> bool:
    """Whether text that is not JSON begins as a request of this dialect, and as no other."""
    begin = _BEGIN.match(text)
    own = begin is None or begin[1].decode("utf-8", "replace") in OWN_KEYS
    return not own and b'"command_id"' not in text


def text_of(reply: Reply) -> str:
    """A reply in the dialect's words, without a line's end."""
    return "O.k." if reply.error is None else f"Error: {reply.error}"
