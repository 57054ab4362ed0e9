"""TCP: addresses, the connection's options, and one time for all of it."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from artiq_link import InstrumentError
from artiq_link.transports import Protocol, transport_to
from artiq_link.transports.fake import FakeTcp
from tests.conftest import PATIENCE
from tests.scripted_server import free_port
from tests.transports.devices import Counter

PATIENT = Protocol(timeout=PATIENCE)


def test_a_name_is_looked_up() -> None:
    with FakeTcp(Counter()) as fake:
        port = fake.device_string.rpartition(":")[2]
        with closing(transport_to(f"tcp:localhost:{port}", PATIENT)) as transport:
            assert transport.query(b"N?\n") == b"1"


def test_ipv6_is_put_in_brackets() -> None:
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as listener,
        closing(transport_to(f"tcp:[::1]:{listener.getsockname()[1]}", PATIENT)) as transport,
    ):
        transport.open()
        connection, _ = listener.accept()
        with connection:
            transport.write(b"set 3\n")
            assert connection.recv(100) == b"set 3\n"


def test_a_device_that_went_away_is_noticed_by_the_system() -> None:
    with FakeTcp(Counter()) as fake:
        with closing(transport_to(fake.device_string, PATIENT)) as transport:
            transport.open()
            connection = transport._socket  # type: ignore[attr-defined]
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_where_nothing_listens_is_one_sentence() -> None:
    with free_port() as port, pytest.raises(InstrumentError) as raised:
        transport_to(f"tcp:127.0.0.1:{port}", PATIENT).query(b"N?\n")
    assert str(raised.value) == (
        f"could not connect to 127.0.0.1:{port}: Connection refused; check that the device is "
        "switched on, and that its address and port are right; nothing was sent"
    )


def test_a_device_that_closes_after_each_answer_is_connected_to_anew() -> None:
    with FakeTcp(Counter()) as fake:
        with closing(transport_to(fake.device_string, PATIENT)) as transport:
            assert transport.query(b"N?\n") == b"1"
            with fake._acting:
                fake._ended(fake._connections[0])
            assert transport.query(b"N?\n") == b"2"
