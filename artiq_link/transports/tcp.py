"""Devices that listen on a TCP port: ``tcp:host:port``."""

from __future__ import annotations

import re
import socket

from ..errors import HardwareLost
from ..link_client import ConnectFailed, Deadline, Peer, connect
from .base import Transport
from .device_string import DeviceString, WrongDevice
from .protocol import Protocol

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds and tries, where the system has them: a device that went away is noticed after 40 s, and
not in hours."""

_CHUNK = 1 << 16

_ADDRESS = re.compile(r"(?P<host>\[[^]]+\]|[^][:/\s]+)(?::(?P<port>[0-9]{1,5}))?")


class TcpTransport(Transport):
    """A connection to a device, or to a box with serial ports behind it."""

    _socket: socket.socket

    def __init__(self, device: DeviceString, protocol: Protocol) -> None:
        device.check_options()
        found = _ADDRESS.fullmatch(device.where)
        port = (found["port"] or protocol.port) if found else None
        if found is None or port is None:
            lacks = "has no port" if found else "is no host and port"
            raise WrongDevice(
                f"{str(device)!r} {lacks}: write such as tcp:192.168.0.5:5025 or tcp:[::1]:5025"
            )
        try:
            self._peer = Peer(found["host"], int(port))
        except ValueError as error:
            raise WrongDevice(f"{str(device)!r}: {error}") from None
        super().__init__(f"tcp:{self._peer}", protocol)

    def _connect(self, deadline: Deadline) -> None:
        try:
            self._socket = connect(self._peer, deadline)
        except ConnectFailed as error:
            # Its advice is for the clients of a server.
            reason = str(error).partition(";")[0]
            raise HardwareLost(
                f"{reason}; check that the device is switched on, and that its address and port "
                "are right; nothing was sent"
            ) from None
        # A command is small, and must not wait for the acknowledgement of the one before.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(self._socket)

    def _disconnect(self) -> None:
        self._socket.close()

    def _send(self, data: bytes, seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def _receive(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(_CHUNK)
        except (TimeoutError, BlockingIOError):
            return b""
        if not data:
            raise ConnectionError("it closed the connection")
        return data


def keep_alive(connection: socket.socket) -> None:
    """Have the system notice that the other end has gone, though nothing is sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
