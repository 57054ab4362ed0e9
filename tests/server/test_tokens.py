"""Tokens: what stands in the file, and what becomes of wrong tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from artiq_link.errors import Unauthorized
from artiq_link.exchanges.rights import Rights, Role
from artiq_link.server import tokens as tokens_module
from artiq_link.server.private_files import UnsafeFile
from artiq_link.server.tokens import FREE_TRIES, LONGEST_PAUSE, MAX_ADDRESSES, Tokens, read_tokens
from tests.conftest import CONTROL_TOKEN, WATCH_TOKEN

INSTRUMENTS = {"dds", "oven"}


class Clock:
    """The time, as the test has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(tokens_module, "monotonic", lambda: self.now)


def read(path: Path, text: str) -> Tokens:
    path.write_text(text)
    path.chmod(0o600)
    return read_tokens(str(path), INSTRUMENTS)


def test_a_file(token_file: str) -> None:
    """Comments and empty lines are passed over."""
    tokens = read_tokens(token_file, INSTRUMENTS)
    master = tokens.find(CONTROL_TOKEN, "10.0.0.1")
    assert (master.name, master.rights) == ("master", Rights(Role.CONTROL, {}, ends_server=True))
    screen = tokens.find(WATCH_TOKEN, "10.0.0.1")
    assert (screen.name, screen.rights) == ("screen", Rights(Role.WATCH))


def test_another_role_on_one_instrument(tmp_path: Path) -> None:
    """Who controls but a part cannot end the server."""
    tokens = read(
        tmp_path / "tokens",
        f"a {CONTROL_TOKEN} control oven=watch\nb {WATCH_TOKEN} watch oven=control\n",
    )
    expected = Rights(Role.CONTROL, {"oven": Role.WATCH})
    assert tokens.find(CONTROL_TOKEN, "10.0.0.1").rights == expected
    rights = tokens.find(WATCH_TOKEN, "10.0.0.1").rights
    assert [rights.on(name) for name in ("oven", "dds", None)] == [
        Role.CONTROL,
        Role.WATCH,
        Role.WATCH,
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"master {CONTROL_TOKEN}", "expected NAME TOKEN ROLE, and perhaps INSTRUMENT=ROLE"),
        (f"master {CONTROL_TOKEN} root", "a role is watch or control; a line is NAME TOKEN ROLE"),
        (f"master control {CONTROL_TOKEN}", "the token, its second word, is too short: take at "
         'least 16 characters, such as python -c "import secrets; print(secrets.token_urlsafe())" '
         "prints"),
        (f"master {CONTROL_TOKEN} control oven",
         "expected INSTRUMENT=ROLE behind NAME TOKEN ROLE"),
        (f"master {CONTROL_TOKEN} control shutter=watch",
         "INSTRUMENT=ROLE names an instrument that there is not"),
        (f"master {CONTROL_TOKEN} control oven={WATCH_TOKEN}",
         "a role is watch or control; a line is NAME TOKEN ROLE"),
        (f"first {WATCH_TOKEN} control", "its name, or its token, stands in a line before"),
        (f"master {'f' * 16} control", "its name, or its token, stands in a line before"),
    ],
)  # fmt: skip
def test_lines_that_are_wrong(tmp_path: Path, line: str, sentence: str) -> None:
    """The line is named; nothing of it is shown, because its words may be in the wrong order."""
    path = tmp_path / "tokens"
    with pytest.raises(UnsafeFile) as refused:
        read(path, f"first {'f' * 16} watch\n{line}\n")
    assert str(refused.value) == f"{path}, line 2: {sentence}"


def test_files_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    with pytest.raises(UnsafeFile, match=r"tokens: No such file or directory$"):
        read_tokens(str(path), INSTRUMENTS)
    with pytest.raises(UnsafeFile, match=r"tokens: there is no token in it; a line is NAME TOKEN"):
        read(path, "# none yet\n")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UnsafeFile, match=r"tokens: it is not text in UTF-8$"):
        read_tokens(str(path), INSTRUMENTS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read(token_file: str, mode: int) -> None:
    Path(token_file).chmod(mode)
    with pytest.raises(UnsafeFile) as refused:
        read_tokens(token_file, INSTRUMENTS)
    assert str(refused.value) == (
        f"{token_file}: others than its owner can read it: chmod 600 {token_file}"
    )


def test_every_token_is_compared_in_constant_time(
    token_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As digests, whose length says nothing, and none is left out after the right one."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(tokens_module.hmac, "compare_digest", compare)
    tokens = read_tokens(token_file, INSTRUMENTS)
    tokens.find(CONTROL_TOKEN, "10.0.0.1")
    assert compared == [(32, 32)] * 2


def refusal(tokens: Tokens, token: str, address: str = "10.0.0.1") -> str:
    with pytest.raises(Unauthorized) as refused:
        tokens.find(token, address)
    assert refused.value.where == "link.token"
    return str(refused.value)


WRONG = "this token is none of this server's"


def test_wrong_tries_are_slowed(token_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few, each costs its address a pause, and each a longer one; other addresses none."""
    clock = Clock(monkeypatch)
    tokens = read_tokens(token_file, INSTRUMENTS)
    for _ in range(FREE_TRIES):
        assert refusal(tokens, "wrong") == WRONG
    paused = "too many wrong tokens have come from 10.0.0.1: try again in 1 s"
    assert refusal(tokens, "wrong") == paused
    assert refusal(tokens, CONTROL_TOKEN) == paused, "a right guess is not told of either"
    assert tokens.find(CONTROL_TOKEN, "10.0.0.2").name == "master"
    pauses = []
    for _ in range(10):
        clock.now += pauses[-1] if pauses else 1.0
        assert refusal(tokens, "wrong") == WRONG
        pauses.append(float(refusal(tokens, "wrong").split()[-2]))
    assert pauses == [2, 4, 8, 16, 32, *[LONGEST_PAUSE] * 5]
    clock.now += LONGEST_PAUSE
    assert tokens.find(CONTROL_TOKEN, "10.0.0.1").name == "master"
    assert refusal(tokens, "wrong") == WRONG, "a right one ends it"


def test_one_clients_mistake_shuts_out_no_other(
    token_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was right before from the same address stays so, and ends no pause of others."""
    Clock(monkeypatch)
    tokens = read_tokens(token_file, INSTRUMENTS)
    tokens.find(CONTROL_TOKEN, "10.0.0.1")
    for _ in range(FREE_TRIES):
        refusal(tokens, "wrong")
    assert tokens.find(CONTROL_TOKEN, "10.0.0.1").name == "master"
    assert refusal(tokens, WATCH_TOKEN).startswith("too many wrong tokens")


def test_an_ipv6_network_is_one_address(token_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer takes as many addresses in it as it likes."""
    Clock(monkeypatch)
    tokens = read_tokens(token_file, INSTRUMENTS)
    for number in range(FREE_TRIES):
        assert refusal(tokens, "wrong", f"2001:db8::{number}") == WRONG
    assert refusal(tokens, "wrong", "2001:db8::ffff").startswith("too many")
    assert refusal(tokens, "wrong", "2001:db8:0:1::1") == WRONG
    assert refusal(tokens, "wrong", "fe80::1%eth0") == WRONG
    assert refusal(tokens, "wrong", "a client that has gone") == WRONG


def test_many_addresses_take_bounded_memory(token_file: str) -> None:
    tokens = read_tokens(token_file, INSTRUMENTS)
    for number in range(MAX_ADDRESSES + 10):
        refusal(tokens, "wrong", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(tokens._tries) == MAX_ADDRESSES


def test_any_text_may_be_a_wrong_token(token_file: str) -> None:
    tokens = read_tokens(token_file, INSTRUMENTS)
    for token in ("", "\0", "\ud800", "ä" * 100_000):
        assert refusal(tokens, token) == WRONG
