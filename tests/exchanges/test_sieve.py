"""The sieve of ids: never wrong about one that was added."""

from __future__ import annotations

from artiq_link.exchanges.sieve import Sieve


def test_what_was_added_is_in_it() -> None:
    sieve = Sieve()
    names = [f"{number:032x}" for number in range(10_000)]
    for name in names:
        sieve.add(name)
    assert all(name in sieve for name in names)
    assert len(sieve) == 10_000


def test_nearly_nothing_else_is() -> None:
    sieve = Sieve()
    assert "a" not in sieve
    for number in range(10_000):
        sieve.add(f"{number:032x}")
    assert sum(f"other {number}" in sieve for number in range(10_000)) < 10
