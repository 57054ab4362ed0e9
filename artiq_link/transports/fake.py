"""Devices that are programs, on a real pseudo-terminal or TCP port, for simulations and tests.

What is asked over them goes through the operating system as it does to hardware, and they can go
wrong as hardware does.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self

from ..link_client import reset

TAKE_TIME = 1.0
"""Seconds after which what nobody takes gets lost."""

_CHUNK = 1 << 16


class Device(ABC):
    """What a device makes of the bytes that come to it."""

    @abstractmethod
    def receive(self, data: bytes) -> bytes:
        """What it answers to `data`, which may be any part of a command, or several."""

    def restart(self) -> None:  # noqa: B027 a device may have nothing to forget
        """Its power was off, or its line was reset: what it had heard is forgotten."""


class LineDevice(Device):
    """A device that is told lines."""

    terminator = b"\n"
    """What ends a command, and each of its answers."""

    def __init__(self) -> None:
        self._heard = b""

    @abstractmethod
    def answer(self, line: bytes) -> bytes | None:
        """The answer to one command, both without terminator; None where there is none."""

    def receive(self, data: bytes) -> bytes:
        *lines, self._heard = (self._heard + data).split(self.terminator)
        answers = [self.answer(line) for line in lines]
        return b"".join(answer + self.terminator for answer in answers if answer is not None)

    def restart(self) -> None:
        self._heard = b""


class Fault(Enum):
    """What goes wrong with each answer of a device, as long as it is the fake's `fault`."""

    SILENT = auto()
    """There is none."""
    HALF = auto()
    """Its second half is missing."""
    GARBAGE = auto()
    """Bytes come instead that mean nothing."""
    ECHO = auto()
    """What the device was sent comes back before it."""
    LATE = auto()
    """It comes when `Fake.release` is called."""
    RESET = auto()
    """The connection is reset in its middle; a serial device restarts there."""


GARBAGE = b"\x00\xff\xfe\x80"


class Fake(ABC):
    """A device at the end of a line, from ``with Fake(device) as fake:`` to the block's end."""

    device_string: str
    """What attaches a transport to it."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.fault: Fault | None = None
        self.heard = b""
        """All that it was ever sent."""
        self._held: list[tuple[Any, bytes]] = []
        # What the thread does, and `unplug` and `release`, come one after the other.
        self._acting = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="fake device", daemon=True)

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waker.close()  # which the thread reads as an end
        self._thread.join()
        self.unplug()
        self._woken.close()
        self._selector.close()

    def release(self) -> None:
        """Send the answers that `Fault.LATE` kept back, as far as their lines are still open."""
        with self._acting:
            held, self._held = self._held, []
            for line, answer in held:
                with contextlib.suppress(OSError):
                    self._write(line, answer)

    def say(self, data: bytes) -> None:
        """Send something unasked."""
        with self._acting:
            for line in self._lines():
                with contextlib.suppress(OSError):  # nobody listens any more
                    self._write(line, data)

    @abstractmethod
    def plug(self) -> None:
        """Attach it, at the same `device_string` again."""

    @abstractmethod
    def unplug(self) -> None:
        """Pull it out."""

    @abstractmethod
    def _lines(self) -> list[Any]:
        """What answers are written to."""

    @abstractmethod
    def _read(self, line: Any) -> bytes:
        """What has come; nothing, or OSError, where the other end has closed the line."""

    @abstractmethod
    def _write(self, line: Any, data: bytes) -> None:
        """Send."""

    @abstractmethod
    def _reset(self, line: Any) -> None:
        """Break the connection off; on a serial line there is none."""

    @abstractmethod
    def _ended(self, line: Any) -> None:
        """The other end has closed the line."""

    def _accept(self, listener: Any) -> None:  # noqa: B027
        """Take a new connection; only TCP has some."""

    def _run(self) -> None:
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._woken in ready and not self._woken.recv(_CHUNK):
                return
            with self._acting:
                for line in ready & set(self._lines()):
                    self._serve(line)
                for other in ready.difference(self._lines(), [self._woken]):
                    self._accept(other)

    def _serve(self, line: Any) -> None:
        try:
            data = self._read(line)
        except OSError:
            data = b""
        if not data:
            self._ended(line)
            return
        self.heard += data
        answer = self.device.receive(data)
        with contextlib.suppress(OSError):  # nobody takes it any more
            self._answer(line, data, answer)

    def _answer(self, line: Any, data: bytes, answer: bytes) -> None:
        fault = self.fault
        if fault is Fault.ECHO:
            self._write(line, data + answer)
        elif not answer or fault is Fault.SILENT:
            return
        elif fault is Fault.LATE:
            self._held.append((line, answer))
        elif fault is Fault.GARBAGE:
            self._write(line, GARBAGE)
        elif fault in {Fault.HALF, Fault.RESET}:
            self._write(line, answer[: len(answer) // 2])
            if fault is Fault.RESET:
                self.device.restart()
                self._reset(line)
        else:
            self._write(line, answer)

    def _wake(self) -> None:
        """Have the thread look at what there is to be read from now on."""
        self._waker.send(b".")


class FakeSerial(Fake):
    """A device on a pseudo-terminal, whose name stays the same however often it is plugged in.

    Windows has none: there, a `FakeTcp` does as well.
    """

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._folder = tempfile.TemporaryDirectory(prefix="fake-serial-")
        self.path = Path(self._folder.name, "ttyFAKE0")
        """The port."""
        self.device_string = f"serial:{self.path}"
        self._ends: tuple[int, int] | None = None

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._folder.cleanup()

    def plug(self) -> None:
        if sys.platform == "win32":
            raise OSError("Windows has no pseudo-terminals: use FakeTcp")
        import pty
        import tty

        with self._acting:
            device_end, port_end = pty.openpty()
            tty.setraw(port_end)
            os.set_blocking(device_end, False)
            self._ends = device_end, port_end  # without the port's own the device's could not wait
            self.path.symlink_to(os.ttyname(port_end))
            self._selector.register(device_end, selectors.EVENT_READ)
            self._wake()

    def unplug(self) -> None:
        with self._acting:
            if self._ends is None:
                return
            self._selector.unregister(self._ends[0])
            self.path.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None
            self._held.clear()
            self.device.restart()

    def _lines(self) -> list[int]:
        return [] if self._ends is None else [self._ends[0]]

    def _read(self, line: int) -> bytes:
        return os.read(line, _CHUNK)

    def _write(self, line: int, data: bytes) -> None:
        while data and select.select([], [line], [], TAKE_TIME)[1]:
            data = data[os.write(line, data) :]

    def _reset(self, line: int) -> None:
        pass

    def _ended(self, line: int) -> None:
        pass


class FakeTcp(Fake):
    """A device that listens on a free TCP port of this computer, for several connections."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._port = 0

    def plug(self) -> None:
        with self._acting:
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._port = self._listener.getsockname()[1]
            self.device_string = f"tcp:127.0.0.1:{self._port}"
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._wake()

    def unplug(self) -> None:
        with self._acting:
            if self._listener is None:
                return
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            for connection in list(self._connections):
                self._reset(connection)
            self.device.restart()

    def _lines(self) -> list[socket.socket]:
        return self._connections

    def _read(self, line: socket.socket) -> bytes:
        return line.recv(_CHUNK)

    def _write(self, line: socket.socket, data: bytes) -> None:
        line.sendall(data)

    def _reset(self, line: socket.socket) -> None:
        self._forget(line)
        reset(line)

    def _ended(self, line: socket.socket) -> None:
        self._forget(line)
        line.close()

    def _forget(self, line: socket.socket) -> None:
        self._connections.remove(line)
        self._selector.unregister(line)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has gone already
            connection, _ = listener.accept()
            connection.settimeout(TAKE_TIME)
            self._connections.append(connection)
            self._selector.register(connection, selectors.EVENT_READ)
