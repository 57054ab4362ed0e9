"""A transport over real lines, whatever becomes of the device."""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable

import pytest

from artiq_link import HardwareLost, InstrumentError
from artiq_link.transports import Transport, base
from artiq_link.transports.endings import Exactly, Length, Line, Silence
from artiq_link.transports.fake import GARBAGE, Fake, FakeSerial, Fault
from tests.conftest import PATIENCE, until
from tests.transports.conftest import Attach

SHORT = 0.2
"""Seconds for an answer that does not come."""


def test_a_question_is_answered(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    assert [transport.query(b"N?\n"), transport.query(b"N?\n")] == [b"1", b"2"]
    assert fake.heard == b"N?\nN?\n"


def test_making_and_opening_send_nothing(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    assert fake.heard == b""
    transport.open()
    transport.query(b"ID?\n")
    assert fake.heard == b"ID?\n"


def test_what_needs_no_answer_is_written(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    transport.write(b"set 3\n")
    assert transport.query(b"ID?\n") == b"counter"
    assert fake.heard == b"set 3\nID?\n"


def test_a_closed_transport_opens_when_it_is_used(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    assert not transport.is_open
    transport.query(b"N?\n")
    assert transport.is_open
    transport.close()
    transport.close()
    assert not transport.is_open
    assert transport.query(b"N?\n") == b"2"


def test_openings_are_counted(fake: Fake, attach: Attach) -> None:
    """Each but the first may hide that the device has restarted."""
    transport = attach(fake)
    assert transport.openings == 0
    transport.query(b"N?\n")
    transport.query(b"N?\n")
    assert transport.openings == 1
    fake.unplug()
    fake.plug()
    transport.open()
    assert transport.openings == 2


def test_no_answer_is_one_sentence(fake: Fake, attach: Attach) -> None:
    fake.fault = Fault.SILENT
    with pytest.raises(InstrumentError) as raised:
        attach(fake).query(b"N?\n", timeout=SHORT)
    assert not isinstance(raised.value, HardwareLost)
    assert str(raised.value) == (
        rf"{fake.device_string} did not answer 'N?\n' within 0.2 s; is it switched on?"
    )


def ask_in_vain(transport: Transport, fake: Fake, patch: pytest.MonkeyPatch) -> None:
    """Ask what is heard and not answered in time, however slow the computer is."""

    def hear(*arguments: object) -> bytes:
        until(lambda: fake.heard == b"N?\n")
        raise TimeoutError

    patch.setattr(transport, "_hear", hear)
    with pytest.raises(InstrumentError, match="did not answer"):
        transport.query(b"N?\n")
    patch.undo()


def test_a_late_answer_is_never_taken_for_the_next_ones(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = attach(fake, late=0.1)
    fake.fault = Fault.LATE
    ask_in_vain(transport, fake, monkeypatch)
    fake.fault = None
    fake.release()
    assert transport.query(b"ID?\n", timeout=PATIENCE) == b"counter"


class _WhenOpened(logging.Handler):
    """Has the fake send its late answer as soon as the line is open again."""

    def __init__(self, fake: Fake) -> None:
        super().__init__()
        self.fake = fake

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().endswith(": opened"):
            self.fake.release()


def test_a_late_answer_to_a_line_that_is_open_again_is_thrown_away(
    fake: Fake,
    attach: Attach,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = attach(fake, late=0.1)
    fake.fault = Fault.LATE
    ask_in_vain(transport, fake, monkeypatch)
    fake.fault = None
    logger = logging.getLogger(base.__name__)
    handler = _WhenOpened(fake)
    with caplog.at_level(logging.INFO, base.__name__):
        logger.addHandler(handler)
        try:
            assert transport.query(b"ID?\n", timeout=PATIENCE) == b"counter"
        finally:
            logger.removeHandler(handler)


@pytest.mark.parametrize("fake", [FakeSerial], ids=["serial"], indirect=True)
def test_a_device_that_was_stuck_for_long_and_then_answers_all_is_found_out(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A serial device has one line, however often that is opened."""
    transport = attach(fake, late=0.1)
    fake.fault = Fault.LATE
    ask_in_vain(transport, fake, monkeypatch)

    def release() -> None:
        until(lambda: fake.heard == b"N?\nID?\n")
        fake.fault = None
        fake.release()

    releasing = threading.Thread(target=release)
    releasing.start()
    with pytest.raises(InstrumentError) as raised:
        transport.query(b"ID?\n")
    releasing.join(PATIENCE)
    assert str(raised.value) == (
        rf"{fake.device_string} answered '1\ncounter\n' to 'ID?\n'; expected one answer, and none "
        "to a command before"
    )
    assert transport.query(b"ID?\n") == b"counter"


def test_nothing_is_asked_while_an_answer_may_come(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the time does not suffice to be sure, nothing is sent, and the sentence says so."""
    transport = attach(fake, late=PATIENCE)
    fake.fault = Fault.SILENT
    ask_in_vain(transport, fake, monkeypatch)
    with pytest.raises(InstrumentError) as raised:
        transport.query(b"ID?\n", timeout=SHORT)
    sentence = str(raised.value)
    assert sentence.startswith(f"{fake.device_string} may still answer the command before: try ")
    assert sentence.endswith("nothing was sent")
    assert fake.heard == b"N?\n"


@pytest.fixture
def up_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Transport, bytes], None]:
    """Have the time be up when so much has come, however slow the computer is."""

    def up_after(transport: Transport, come: bytes) -> None:
        receive, heard = transport._receive, bytearray()

        def receive_until_then(seconds: float) -> bytes:
            if heard == come:
                raise TimeoutError
            part = receive(seconds)
            heard.extend(part)
            return part

        monkeypatch.setattr(transport, "_receive", receive_until_then)

    return up_after


UpAfter = Callable[[Transport, bytes], None]


def test_a_command_that_is_not_taken_is_one_sentence(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, late=0)
    transport.query(b"N?\n")
    with fake._acting, pytest.raises(InstrumentError) as raised:  # it reads nothing
        transport.write(b"set 3\n" * 2_000_000, timeout=0.2)
    sentence = str(raised.value)
    assert sentence.startswith(f"{fake.device_string} did not take all of 'set 3")
    assert sentence.endswith("within 0.2 s; is it switched on?")


def test_an_answer_to_a_question_that_ctrl_c_ended_is_thrown_away(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = attach(fake, late=0.1)
    fake.fault = Fault.LATE

    def interrupt(*arguments: object) -> bytes:
        until(lambda: fake.heard == b"N?\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(transport, "_hear", interrupt)
    with pytest.raises(KeyboardInterrupt):
        transport.query(b"N?\n")
    monkeypatch.undo()
    assert not transport._is_connected
    fake.fault = None
    fake.release()
    assert transport.query(b"ID?\n") == b"counter"


def test_half_an_answer_is_none(
    fake: Fake, attach: Attach, up_after: UpAfter, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = attach(fake, late=0)
    fake.fault = Fault.HALF
    up_after(transport, b"coun")
    with pytest.raises(InstrumentError) as raised:
        transport.query(b"ID?\n")
    monkeypatch.undo()
    assert str(raised.value) == (
        rf"{fake.device_string} gave no whole answer to 'ID?\n' within {PATIENCE:g} s, only 'coun'"
    )
    fake.fault = None
    assert transport.query(b"ID?\n") == b"counter"


def test_garbage_is_shown_in_hexadecimal(fake: Fake, attach: Attach, up_after: UpAfter) -> None:
    transport = attach(fake)
    fake.fault = Fault.GARBAGE
    up_after(transport, GARBAGE)
    with pytest.raises(InstrumentError, match=r"only '00 ff fe 80'$"):
        transport.query(b"ID?\n")


def test_an_echo_alone_is_named(fake: Fake, attach: Attach, up_after: UpAfter) -> None:
    transport = attach(fake)
    fake.fault = Fault.ECHO
    up_after(transport, b"set 3\n")
    with pytest.raises(InstrumentError, match=r"only echoed 'set 3\\n', and did not answer"):
        transport.query(b"set 3\n", Line(b"\r"))


def test_another_answer_than_the_one_expected_is_shown(fake: Fake, attach: Attach) -> None:
    with pytest.raises(InstrumentError) as raised:
        attach(fake).query(b"ID?\n", Exactly(b"ok", Line()))
    assert str(raised.value) == (
        rf"{fake.device_string} answered 'counter\n' to 'ID?\n'; expected 'ok'"
    )


def test_a_reset_in_the_middle_is_recovered_from(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, late=0)
    fake.fault = Fault.RESET
    with pytest.raises(InstrumentError):
        transport.query(b"ID?\n", timeout=SHORT)
    fake.fault = None
    assert transport.query(b"ID?\n") == b"counter"


def test_plugging_in_again_is_enough(fake: Fake, attach: Attach) -> None:
    """While it is out each use says so; then the next one works, and nothing was sent twice."""
    transport = attach(fake)
    transport.query(b"N?\n")
    fake.unplug()
    for _ in range(2):
        with pytest.raises(HardwareLost, match=rf"{fake.device_string[4:]}.*nothing was sent$"):
            transport.query(b"N?\n")
        assert transport.is_open
    fake.plug()
    assert transport.query(b"N?\n") == b"2"
    assert fake.heard == b"N?\nN?\n"


def test_plugged_out_and_in_between_two_asks_nobody_notices(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    transport.query(b"N?\n")
    fake.unplug()
    fake.plug()
    assert transport.query(b"N?\n") == b"2"


def test_pulled_out_while_it_is_asked(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, late=0)
    fake.fault = Fault.SILENT
    raised: list[HardwareLost] = []

    def ask() -> None:
        with pytest.raises(HardwareLost) as caught:
            transport.query(b"N?\n", timeout=PATIENCE)
        raised.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: fake.heard == b"N?\n")
    fake.unplug()
    asking.join(PATIENCE)
    assert rf"{fake.device_string} was lost after 'N?\n' was sent: " in str(raised[0])


def test_what_is_said_unasked_is_thrown_away(
    fake: Fake, attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    transport = attach(fake)
    transport.query(b"N?\n")
    with caplog.at_level(logging.INFO, base.__name__):
        fake.say(b"hello\n")
        if isinstance(fake, FakeSerial):  # the system hands it on when it likes
            assert fake._ends is not None
            select.select([fake._ends[1]], [], [], PATIENCE)
        assert transport.query(b"ID?\n") == b"counter"
    assert rf"{fake.device_string}: said unasked hello\n" in caplog.messages


def test_asks_of_several_threads_are_not_divided(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    answers: list[bytes] = []

    def ask() -> None:
        for _ in range(20):
            answers.append(transport.query(b"N?\n", timeout=PATIENCE))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(int, answers)) == list(range(1, 81))


def test_who_waits_for_another_thread_waits_no_longer_than_its_timeout(
    fake: Fake, attach: Attach
) -> None:
    transport = attach(fake)
    fake.fault = Fault.LATE
    asking = threading.Thread(target=lambda: transport.query(b"N?\n", timeout=PATIENCE))
    asking.start()
    until(lambda: fake.heard == b"N?\n")
    with pytest.raises(InstrumentError, match=r"was busy for 0\.2 s with another command; noth"):
        transport.query(b"ID?\n", timeout=SHORT)
    fake.release()
    asking.join(PATIENCE)
    assert fake.heard == b"N?\n"


def test_a_device_that_never_stops_talking_costs_no_more_than_the_timeout(
    fake: Fake, attach: Attach
) -> None:
    transport = attach(fake)
    transport.query(b"N?\n")
    is_over = threading.Event()

    def talk() -> None:
        while not is_over.is_set():
            fake.say(b"noise" * 100)

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        with pytest.raises(InstrumentError):
            transport.query(b"ID?\n", Line(b"never"), timeout=0.2)
    finally:
        is_over.set()
        talking.join(PATIENCE)


def test_one_that_talks_faster_than_it_is_read_is_asked_nothing(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = attach(fake)
    monkeypatch.setattr(transport, "_receive_unasked", lambda seconds: b"noise")
    with pytest.raises(InstrumentError) as raised:
        transport.query(b"ID?\n", timeout=SHORT)
    assert str(raised.value) == (
        f"{fake.device_string} was not ready within 0.2 s; nothing was sent"
    )
    assert fake.heard == b""


def test_an_answer_without_end_is_given_up(
    fake: Fake, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MAX_REPLY", 3)
    with pytest.raises(InstrumentError, match="expected an answer of at most"):
        attach(fake).query(b"ID?\n", Line(b"\r"), timeout=PATIENCE)


def test_silence_ends_an_answer(fake: Fake, attach: Attach) -> None:
    transport = attach(fake)
    answer = transport.query(b"ID?\nN?\n", Silence(SHORT, after=b"\n"), timeout=PATIENCE)
    assert answer == b"counter\n1"


def test_silence_that_the_timeout_cuts_short_ends_nothing(fake: Fake, attach: Attach) -> None:
    with pytest.raises(InstrumentError):
        attach(fake).query(b"ID?\n", Silence(PATIENCE), timeout=0.2)


def test_a_pause_is_kept_before_the_next_command(fake: Fake, attach: Attach) -> None:
    """A pause that outlasts the ask's time is a refusal: it would have had to be kept."""
    transport = attach(fake, pauses={b"R": PATIENCE})
    transport.query(b"ID?\n")
    transport.query(b"ID?\n")
    transport.write(b"R\n")
    with pytest.raises(
        InstrumentError, match=r"is not ready yet: try again in .* nothing was sent"
    ):
        transport.query(b"ID?\n", timeout=SHORT)


def test_a_pause_is_kept_though_the_line_is_opened_anew(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, pauses={b"R": PATIENCE})
    transport.write(b"R\n")
    transport.close()
    with pytest.raises(InstrumentError, match="is not ready yet"):
        transport.query(b"ID?\n", timeout=SHORT)


def test_a_short_pause_is_waited_for(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, pause=0.02)
    start = time.monotonic()
    for _ in range(3):
        transport.query(b"N?\n")
    assert time.monotonic() - start >= 0.04  # a lower bound, which no slow computer breaks


def test_a_device_that_wakes_slowly_is_waited_for_by_open(fake: Fake, attach: Attach) -> None:
    transport = attach(fake, wake=0.5)
    with pytest.raises(InstrumentError, match="is not ready yet"):
        transport.query(b"ID?\n", timeout=SHORT)
    transport.open()
    assert transport.query(b"ID?\n", timeout=PATIENCE) == b"counter"


def test_the_log_shows_what_is_sent_and_received(
    fake: Fake, attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, base.__name__):
        attach(fake).query(b"\x1b[2J" + b"x" * 500 + b"\nID?\n", Length(8))
    opened, sent, received = caplog.messages
    assert opened == f"{fake.device_string}: opened"
    assert sent.startswith(f"{fake.device_string}: sent 1b 5b 32 4a 78 78 ")
    assert sent.endswith(" 78... (459 more bytes)")
    assert received == rf"{fake.device_string}: received counter\n"


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_a_time(fake: Fake, attach: Attach, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout: expected more than 0"):
        attach(fake).query(b"ID?\n", timeout=timeout)
    assert fake.heard == b""
