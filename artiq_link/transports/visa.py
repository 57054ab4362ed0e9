"""Devices behind VISA, that is USBTMC, GPIB, VXI-11 and more: ``visa:TCPIP::host::INSTR``."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from typing import Any

from ..errors import InstrumentError
from ..link_client import Deadline
from ..text import sentence_of
from .base import Transport
from .device_string import DeviceString
from .protocol import Protocol

_CHUNK = 1 << 16


class VisaTransport(Transport):
    """A VISA resource, through pyvisa, whose libraries keep to timeouts more or less.

    The option ``library`` says which VISA that uses: ``@py`` is pyvisa-py, ``@ivi`` the system's,
    such as NI's, and a path is another one. Without it pyvisa chooses.
    """

    _resource: Any
    _is_stream: bool
    """Whether its bytes have no messages around them: then none may be asked for that do not come,
    and any may be read at any time."""

    def __init__(self, device: DeviceString, protocol: Protocol) -> None:
        device.check_options("library")
        self._library = device.options.get("library", "")
        super().__init__(str(device), protocol)
        self._where = device.where

    def _connect(self, deadline: Deadline) -> None:
        pyvisa = _pyvisa()
        with _as_os_errors():
            resources = pyvisa.ResourceManager(self._library)
            info = resources.resource_info(self._where)
            self._is_stream = (
                info.interface_type == pyvisa.constants.InterfaceType.asrl
                or info.resource_class == "SOCKET"
            )
            self._resource = resources.open_resource(
                self._where, open_timeout=_milliseconds(deadline.left())
            )

    def _disconnect(self) -> None:
        with _as_os_errors():
            self._resource.close()

    def _send(self, data: bytes, seconds: float) -> None:
        with _as_os_errors():
            self._resource.timeout = _milliseconds(seconds)
            self._resource.write_raw(data)

    def _receive(self, seconds: float) -> bytes:
        try:
            with _as_os_errors():
                self._resource.timeout = _milliseconds(seconds)
                data, _ = self._resource.visalib.read(
                    self._resource.session, 1 if self._is_stream else _CHUNK
                )
        except TimeoutError:
            return b""
        return bytes(data)

    def _receive_unasked(self, seconds: float) -> bytes:
        if self._is_stream:
            return self._receive(seconds)
        # An instrument notes it as an error when it is read and has nothing to say (IEEE 488.2,
        # 6.3.1.1, "unterminated").
        time.sleep(seconds)
        return b""

    def _clear(self) -> None:
        # Not every library and device has it; a line that is broken is noticed when it is used.
        if not self._is_stream:
            with contextlib.suppress(OSError), _as_os_errors():
                self._resource.clear()


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise what pyvisa and its libraries raise, of which there is no list, as OSError."""
    try:
        yield
    except Exception as error:
        status = getattr(error, "error_code", None)
        if status == _pyvisa().constants.StatusCode.error_timeout:
            raise TimeoutError from None
        words = getattr(error, "description", "") or sentence_of(error)
        raise OSError(" ".join(words.split())) from error  # some of them have several lines


def _milliseconds(seconds: float) -> int:
    """VISA's unit; 0 is no time at all, and some libraries take it as no limit."""
    return max(1, round(seconds * 1e3))


def _pyvisa() -> Any:
    try:
        return importlib.import_module("pyvisa")
    except ImportError:
        raise InstrumentError(
            "VISA needs pyvisa: install it with 'python -m pip install pyvisa pyvisa-py', or "
            "artiq-link with its extra 'visa'"
        ) from None
