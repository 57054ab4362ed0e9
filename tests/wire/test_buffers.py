"""Buffers beside a request and a reply: what announces them, and how they become arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from artiq_link.errors import ExchangeError, InstrumentError, Malformed, TooLarge
from artiq_link.exchanges.messages import MAX_BUFFERS, LinkMembers, Reply, Request
from artiq_link.slices import finish
from artiq_link.values import MIN_BUFFER, object_of
from artiq_link.wire.buffers import Announced, announced_in, reply_with_buffers

LIMIT = 1000
NUMBERS = np.array([1.0, -0.5, 2.0])
LARGE = np.arange(MIN_BUFFER // 8, dtype="<f8")


def message_of(buffers: Any) -> dict[str, Any]:
    return {"command_id": "a", "link": {"buffers": buffers}}


def announced(lengths: list[int], **members: Any) -> Announced:
    """What must be announced by a message with these members."""
    found = announced_in({**members, **message_of(lengths)}, 0, LIMIT)
    assert found is not None
    return found


def array_in(number: Any, shape: list[int], dtype: str = "<f8") -> dict[str, Any]:
    return object_of("nparray", shape, dtype, {"buffer": number})


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"command_id": "a"},
        {"link": None},
        {"link": [8]},
        *map(message_of, [[], True, False, None, "8", 8, 2**70, {"0": 8}]),
    ],
)
def test_what_announces_nothing(message: Any) -> None:
    """Whatever is no list of lengths; what is wrong with it, the members' types say."""
    assert announced_in(message, 10, LIMIT) is None


@pytest.mark.parametrize("length", [-1, -(2**70), True, 8.0, 1e30, "8", None, [8]])
def test_what_is_no_length(length: Any) -> None:
    with pytest.raises(Malformed) as caught:
        announced_in(message_of([8, length]), 0, LIMIT)
    assert str(caught.value) == "link.buffers: expected a list of lengths in bytes, or true"


def test_object_and_buffers_are_limited_together() -> None:
    """The limit is the last size that is taken, whatever is in which part."""
    for size, lengths in ((0, [LIMIT]), (400, [599, 1]), (LIMIT, [0])):
        assert announced_in(message_of(lengths), size, LIMIT) is not None
        with pytest.raises(TooLarge, match="is over the limit of 1000 bytes"):
            announced_in(message_of([*lengths, 1]), size, LIMIT)
    with pytest.raises(TooLarge):
        announced_in(message_of([2**63] * MAX_BUFFERS), 0, LIMIT)


def test_the_number_of_buffers_is_limited() -> None:
    assert announced([0] * MAX_BUFFERS)
    with pytest.raises(TooLarge) as caught:
        announced([0] * (MAX_BUFFERS + 1))
    assert str(caught.value) == f"link.buffers: more than {MAX_BUFFERS} buffers"


@pytest.mark.parametrize("chunk", [1, 5, 24, 100])
def test_buffers_in_any_pieces(chunk: int) -> None:
    """What lies behind the last one is given back; empty ones take no byte."""
    data = NUMBERS.tobytes() + b"\x01\x02" + b"next"
    tested = announced(
        [0, 24, 0, 2],
        arrays=[array_in(3, [2], "|u1"), array_in(1, [3]), array_in(0, [0, 7]), array_in(2, [0])],
    )
    rest = b""
    for start in range(0, len(data), chunk):
        rest += bytes(tested.take(data[start : start + chunk]))
    assert rest == b"next"
    assert tested.is_whole
    assert tested.held == 26
    octets, doubles, *empty = finish(tested.whole())["arrays"]
    assert octets.tolist() == [1, 2]
    assert doubles.tolist() == NUMBERS.tolist()
    assert [array.shape for array in empty] == [(0, 7), (0,)]


def test_an_array_is_memory_of_its_own() -> None:
    """It is aligned and can be written to, and nothing else sees that."""
    data = b"\x00" + NUMBERS.tobytes() * 2
    tested = announced([24, 24], a=array_in(0, [3]), b=array_in(1, [3]))
    tested.take(memoryview(data)[1:])
    message = finish(tested.whole())
    first, second = message["a"], message["b"]
    for array in (first, second):
        assert array.flags.writeable
        assert array.flags.aligned
    first[:] = 7.0
    assert second.tolist() == NUMBERS.tolist()
    assert data[1:25] == NUMBERS.tobytes()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (array_in(1, [3]), "nparray: there is no buffer 1; there are 1"),
        (array_in(-1, [3]), "nparray: there is no buffer -1; there are 1"),
        (array_in(2**70, [3]), f"nparray: there is no buffer {2**70}; there are 1"),
        (array_in(True, [3]), 'nparray: expected {"buffer": number} or base64'),
        (array_in("0", [3]), 'nparray: expected {"buffer": number} or base64'),
        (array_in(0.0, [3]), 'nparray: expected {"buffer": number} or base64'),
        (
            object_of("nparray", [3], "<f8", {"buffer": 0, "offset": 0}),
            'nparray: expected {"buffer": number} or base64',
        ),
        (object_of("npscalar", "<f8", {"buffer": 0}), "nparray: the bytes are missing"),
        (array_in(0, [2]), "nparray: 24 bytes do not fill shape [2] of <f8"),
        (array_in(0, [3], "<f4"), "nparray: 24 bytes do not fill shape [3] of <f4"),
        (array_in(0, [3], "|O"), "nparray: dtype '|O' is not one of numbers"),
        (array_in(0, [-3]), "nparray: [-3] is not a shape"),
        ([array_in(0, [3])] * 2, "nparray: buffer 0 is another array's already"),
    ],
)
def test_what_is_no_array(value: Any, sentence: str) -> None:
    tested = announced([24], value=value)
    tested.take(NUMBERS.tobytes())
    with pytest.raises(Malformed) as caught:
        finish(tested.whole())
    assert str(caught.value) == sentence


def test_a_buffer_that_no_array_has_is_dropped() -> None:
    tested = announced([24, 3], value=array_in(0, [3]))
    tested.take(NUMBERS.tobytes() + b"xyz")
    assert finish(tested.whole())["value"].tolist() == NUMBERS.tolist()


def test_a_buffer_of_another_length() -> None:
    """The request is malformed once all have come, and what does not fit is not kept."""
    tested = announced([24, 8, 8])
    for size in (24, 9, 7):
        tested.add(bytearray(size))
    assert tested.is_whole
    assert tested.held == 24
    with pytest.raises(Malformed) as caught:
        finish(tested.whole())
    assert str(caught.value) == "link.buffers[1]: 8 bytes were announced, and 9 came"


# --- replies


def written(reply: Reply, **link: Any) -> tuple[Any, list[bytes]]:
    """The object and the buffers of a reply."""
    request = Request("a", {}, LinkMembers(buffers=True, **link))
    text, buffers = reply_with_buffers(request, reply)
    return json.loads(text), [bytes(buffer) for buffer in buffers]


def test_large_arrays_are_buffers() -> None:
    """Those of `MIN_BUFFER` bytes or more, in the order of their numbers; others stay text."""
    swapped, small = LARGE.astype(">f8").reshape(2, -1), LARGE[1:]
    message, buffers = written(Reply({"a": [LARGE, swapped.T], "b": small}), id="7")
    first, second = message["result"]["a"]
    assert first == array_in(0, [len(LARGE)])
    assert second == array_in(1, [len(LARGE) // 2, 2], ">f8")
    assert buffers == [LARGE.tobytes(), swapped.T.tobytes()]
    assert isinstance(message["result"]["b"]["__jsonclass__"][1][2], str)
    assert message["link"] == {"buffers": [MIN_BUFFER, MIN_BUFFER]}
    assert message["id"] == "7"


@pytest.mark.parametrize("shape", [(8, 8, 8), (2, 256)])
def test_any_memory_layout(shape: tuple[int, ...]) -> None:
    """The bytes are those of C order, however the array lies in memory."""
    array = np.asfortranarray(np.arange(512.0).reshape(shape))
    for each in (array, array[::-1], np.repeat(array, 2, axis=0)[::2]):
        message, [buffer] = written(Reply(each))
        assert message["result"] == array_in(0, list(shape))
        assert buffer == each.tobytes()


@pytest.mark.parametrize("result", [None, 1, [None, "null"], LARGE[1:], {"a": True}])
def test_a_reply_without_buffers_says_that_they_are_understood(result: Any) -> None:
    message, buffers = written(Reply(result))
    assert message["link"] == {"buffers": True}
    assert buffers == []
    assert message["status"] == "success"


def test_a_failure_says_so_as_well() -> None:
    message, buffers = written(Reply(error=InstrumentError("no lock")))
    assert (message["code"], message["link"], buffers) == (
        "instrument_error",
        {"buffers": True},
        [],
    )


def test_null_beside_an_array() -> None:
    """It takes the careful encoder, which numbers the buffers anew."""
    message, [buffer] = written(Reply([None, LARGE, np.float32(0.5)]))
    assert message["result"] == [None, array_in(0, [len(LARGE)]), 0.5]
    assert buffer == LARGE.tobytes()


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ([LARGE, float("nan")], ValueError),
        ([LARGE, object()], TypeError),
        (np.ma.masked_equal(LARGE, 3.0), TypeError),
        (np.full(MIN_BUFFER, "a"), TypeError),
    ],
)
def test_what_no_reply_can_hold(result: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        written(Reply(result))
    assert not isinstance(caught.value, ExchangeError)
