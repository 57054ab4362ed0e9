"""A sieve of ids: of most that a journal's file does not have, it is sure.

It is a Bloom filter with two bits for each id. Nearly every request has a new id, and to look for
it in the file takes ten times as long, on the event loop.
"""

from __future__ import annotations

BITS = 26
"""8 MiB, of which the system gives what is used. 4 million ids let 2 % of the others through."""

_MASK = (1 << BITS) - 1


class Sieve:
    """Ids that were added; of some others it cannot say that they were not."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << (BITS - 3))
        self._added = 0

    def __len__(self) -> int:
        """How many were added."""
        return self._added

    def __contains__(self, name: str) -> bool:
        number = hash(name)
        bits = self._bits
        first, second = number & _MASK, (number >> BITS) & _MASK
        return bool(bits[first >> 3] >> (first & 7) & bits[second >> 3] >> (second & 7) & 1)

    def add(self, name: str) -> None:
        """Take an id in."""
        number = hash(name)
        for place in (number & _MASK, (number >> BITS) & _MASK):
            self._bits[place >> 3] |= 1 << (place & 7)
        self._added += 1
