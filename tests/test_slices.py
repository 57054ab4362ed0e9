"""Work in slices, done at once."""

from __future__ import annotations

from artiq_link.slices import Slices, finish


def test_all_slices_are_done() -> None:
    """What a work comes to is what it returns, with and without pauses."""

    def count(pauses: int) -> Slices[int]:
        for _ in range(pauses):
            yield
        return pauses

    assert [finish(count(pauses)) for pauses in range(3)] == [0, 1, 2]
