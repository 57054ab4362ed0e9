"""What is kept of an exchange: bounded texts, and the reply made again."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, UnknownOutcome
from artiq_link.exchanges.client import Client
from artiq_link.exchanges.exchange import Exchange
from artiq_link.exchanges.messages import LinkMembers, Reply, Request
from artiq_link.exchanges.records import (
    MAX_ARRAY,
    MAX_MEMBERS,
    MAX_PARAMETERS,
    MAX_RESULT,
    complete,
    parameters_text,
    record_of,
    reply_of,
    result_text,
)
from tests.pyon_values import values


def parameters(**given: Any) -> Any:
    return msgspec.json.decode(parameters_text(given))


def test_parameters_are_kept_as_they_came() -> None:
    assert parameters_text({"channel": 0, "on": True, "name": "grün"}) == (
        '{"channel":0,"on":true,"name":"grün"}'
    )


def test_of_an_array_shape_dtype_and_a_hash_are_kept() -> None:
    """The hash tells two arrays of one shape from each other, however large they are."""
    kept = parameters(samples=np.zeros(3))["samples"]
    assert kept == {
        "shape": [3],
        "dtype": "<f8",
        "sha1": "d3399b7262fb56cb9ed053d68db9291c410839c4",
    }
    for size in (3, 10**6):
        zeros, other = np.zeros(size), np.zeros(size)
        other[-1] = 1
        assert parameters(samples=zeros) == parameters(samples=zeros.copy())
        assert parameters(samples=zeros) != parameters(samples=other)
    assert parameters(samples=np.zeros((2, 2))[:, 0])["samples"]["shape"] == [2]
    assert parameters(gain=np.float64(0.5)) == {"gain": 0.5}


@pytest.mark.parametrize(
    "value", ["a" * 10**7, list(range(10**6)), {str(n): n for n in range(20_000)}, [[0] * 50_000]]
)
def test_what_is_long_is_kept_by_its_beginning(value: Any) -> None:
    kept = parameters(channel=1, value=value, samples=np.zeros(3))
    assert kept["channel"] == "1"
    assert len(kept["value"]) < 300
    assert kept["samples"]["shape"] == [3]


def test_many_parameters_are_not_kept_all() -> None:
    assert len(parameters_text({"x" * 1000 + str(n): "y" * 100 for n in range(1000)})) < 20_000


@given(st.dictionaries(st.text(st.characters()), values, max_size=4))
def test_whatever_a_dialect_carries_can_be_kept(carried: dict[str, Any]) -> None:
    text = parameters_text(carried)
    assert isinstance(msgspec.json.decode(text.encode()), dict)
    assert len(text) < 2 * MAX_PARAMETERS
    for value in (carried, *carried.values()):
        kept = result_text(value)
        assert kept is None or len(kept) <= MAX_RESULT


@pytest.mark.parametrize(
    ("result", "is_kept"),
    [
        (None, True),
        ({"frequency": 80000000.0745058}, True),
        ([0.5] * MAX_MEMBERS, True),
        ([0.5] * (MAX_MEMBERS + 1), False),
        ("a" * (MAX_RESULT - 2), True),
        ("a" * (MAX_RESULT - 1), False),
        (["a" * MAX_RESULT], False),
        (object(), False),
        (float("nan"), False),
        ({"samples": np.zeros(MAX_ARRAY // 8 + 1)}, False),
    ],
)
def test_a_result_is_kept_whole_or_not_at_all(result: Any, is_kept: bool) -> None:
    assert (result_text(result) is not None) == is_kept


def ended(reply: Reply, started: bool = True) -> Exchange:
    """An exchange that has come to its end, for a quarter of a second in its queue."""
    request = Request("get", {"channel": 0}, LinkMembers(id="a1", owner="Ada", rid=7))
    exchange = Exchange(request, Client("127.0.0.1:1", "json"))
    if not started:
        assert reply.error is not None
        exchange.refuse(reply.error)
    else:
        exchange.queue()
        exchange.start(exchange.arrived + 0.25)
        exchange.finish(reply)
    return exchange


def test_a_result_whose_class_raises_is_not_kept() -> None:
    """Otherwise its exchange would never come to its end for those who ask for its id."""

    class Reading(dict[str, float]):
        def __len__(self) -> int:
            raise LookupError("the device has gone")

        values = __len__  # type: ignore[assignment]

    assert result_text(Reading(power=1.0)) is None
    assert result_text({"reading": Reading(power=1.0)}) is None


def test_a_record_has_who_what_when_and_what_it_came_to() -> None:
    exchange = ended(Reply({"frequency": 1.0}))
    record = record_of(exchange, "k3f9", "dds")
    assert msgspec.structs.astuple(record)[3:11] == (
        "127.0.0.1:1", "json", "dds", "get", '{"channel":0}', "Ada", 7, None,
    )  # fmt: skip
    complete(record, exchange)
    assert (record.outcome, record.result, record.told) == ("done", '{"frequency":1.0}', None)
    assert record.queue == pytest.approx(0.25)
    assert record.duration is not None


def test_an_array_is_given_back_as_it_was() -> None:
    samples = np.arange(5.0)
    exchange = ended(Reply({"samples": samples}))
    complete(record := record_of(exchange, "k3f9", None), exchange)
    assert np.array_equal(reply_of(record).result["samples"], samples)


def own_error() -> ExchangeError:
    """A laboratory's own, as that of a class with a code of its own is."""
    error = ExchangeError("door open")
    error.code = "interlock"
    return error


@pytest.mark.parametrize(
    "error", [UnknownOutcome("perhaps"), ExchangeError("a bug", "channel"), own_error()]
)
def test_a_failure_is_given_back_as_it_was(error: ExchangeError) -> None:
    exchange = ended(Reply(error=error))
    complete(record := record_of(exchange, "k3f9", None), exchange)
    assert record.outcome == "failed"
    assert reply_of(record).to_object() == Reply(error=error).to_object()


def test_what_was_refused_has_no_duration() -> None:
    exchange = ended(Reply(error=ExchangeError("no")), started=False)
    complete(record := record_of(exchange, "k3f9", None), exchange)
    assert (record.outcome, record.duration) == ("refused", None)


def test_what_the_client_was_told_instead_is_kept() -> None:
    for told, expected in ((True, "timeout"), (False, "nothing")):
        exchange = Exchange(Request("get", {}, LinkMembers(timeout=1.0)), answer=lambda data: None)
        exchange.queue()
        exchange.start(exchange.arrived)
        if told:
            exchange.time_is_up()
        else:
            exchange.abandon()
        exchange.finish(Reply(1))
        complete(record := record_of(exchange, "k3f9", None), exchange)
        assert (record.outcome, record.told) == ("done", expected)


def test_what_cannot_be_answered_again_says_so() -> None:
    exchange = ended(Reply(np.zeros(10**5)))
    record = record_of(exchange, "k3f9", None)
    with pytest.raises(UnknownOutcome) as info:
        reply_of(record)
    assert str(info.value) == (
        "get was running when the server ended; whether it was executed is not known: check the "
        "instrument before sending it again"
    )
    complete(record, exchange)
    with pytest.raises(UnknownOutcome) as info:
        reply_of(record)
    assert str(info.value) == (
        "get was executed and succeeded, but its result was too large to be kept: where it is "
        "still wanted, ask under another id"
    )
