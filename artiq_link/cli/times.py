"""Times as they are typed on the command line: how long, and since when."""

from __future__ import annotations

import argparse
from datetime import datetime, time, timedelta

from ..units import read_duration


def duration(text: str) -> float:
    """The seconds of ``15min``; raises ArgumentTypeError for what is no such time."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def age(text: str) -> float:
    """The seconds since ``21:00``, ``2026-03-01T21:00``, or of ``15min``.

    A time alone is the last such time. Raises ArgumentTypeError for what is none of these.
    """
    now = datetime.now()
    try:
        if ":" in text and "-" not in text:
            at = datetime.combine(now, time.fromisoformat(text))
            if at > now:
                at = datetime.combine(now - timedelta(days=1), at.time())
        else:
            at = datetime.fromisoformat(text)
        return max(now.timestamp() - at.timestamp(), 0.0)
    except (ValueError, OverflowError, TypeError):  # the last one where 21:00Z has a zone
        try:
            return duration(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}, 21:00, 2026-03-01T21:00") from None
