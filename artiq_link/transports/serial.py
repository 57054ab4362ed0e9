"""Devices on serial ports, by the port's name or the USB adapter's: ``serial:COM3``."""

from __future__ import annotations

import errno
import importlib
import os
import stat
import sys
import time
from typing import Any

from ..errors import HardwareLost, InstrumentError
from ..link_client import Deadline
from .base import Transport, system_words
from .device_string import DeviceString, WrongDevice
from .protocol import Protocol

if sys.platform == "win32":
    _SettingError = ValueError
else:
    import termios

    _SettingError = termios.error

DEFAULT_BAUD = 9600
"""Where neither the device string nor the protocol says another one."""

POLL_TIME = 0.01
"""Seconds of one read that finds nothing. pyserial sets the whole port anew where its timeouts are
changed, so that they stay as they are."""

WRITE_SLACK = 0.02
"""Seconds that a port which takes nothing, by its flow control, may cost beyond the timeout."""

_CHUNK = 1 << 16

_BITS = {"5": 5, "6": 6, "7": 7, "8": 8}
_PARITY = {"none": "N", "even": "E", "odd": "O"}
_STOP = {"1": 1.0, "1.5": 1.5, "2": 2.0}
_FLOW: dict[str, dict[str, bool]] = {
    "none": {}, "rtscts": {"rtscts": True}, "xonxoff": {"xonxoff": True}
}  # fmt: skip


class SerialTransport(Transport):
    """A serial port, which no other program may have open.

    Options: ``baud``, ``bits`` (5 to 8), ``parity`` (none, even, odd), ``stop`` (1, 1.5, 2) and
    ``flow`` (none, rtscts, xonxoff). ``usb=NUMBER`` in the port's place is whichever port the USB
    adapter of that serial number has. Other ports are what pyserial calls URLs, such as
    ``serial:loop://``, which hears what it says.
    """

    def __init__(self, device: DeviceString, protocol: Protocol) -> None:
        device.check_options("baud", "bits", "parity", "stop", "flow")
        self._usb = None
        if device.where.startswith("usb="):
            self._usb = device.where.removeprefix("usb=")
            if not self._usb:
                raise WrongDevice(
                    f"{str(device)!r} has no serial number: write such as serial:usb=AB0CD12"
                )
        self._port = device.where
        self._settings = {
            "baudrate": device.number("baud", protocol.baud or DEFAULT_BAUD),
            "bytesize": device.choice("bits", _BITS, 8),
            "parity": device.choice("parity", _PARITY, "N"),
            "stopbits": device.choice("stop", _STOP, 1.0),
            **device.choice("flow", _FLOW, {}),
        }
        self._line: Any = None
        super().__init__(str(device), protocol)

    def _connect(self, deadline: Deadline) -> None:
        pyserial = _pyserial()
        port = self._port if self._usb is None else self._port_of_adapter(self._usb)
        try:
            self._line = pyserial.serial_for_url(
                port,
                exclusive=True,
                timeout=POLL_TIME,
                write_timeout=self.protocol.timeout,
                **self._settings,
            )
        # A rate or a format that the port has not, or an unknown scheme://.
        except (ValueError, _SettingError) as error:
            raise InstrumentError(
                f"{self.name} cannot be opened: {error.args[-1]}; nothing was sent"
            ) from None
        except OSError as error:
            reason = _why_not(port, error)
            raise HardwareLost(f"{self.name}: {reason}; nothing was sent") from None

    def _disconnect(self) -> None:
        try:
            if self._has_failed:  # some systems wait half a minute for it to be taken
                self._line.reset_output_buffer()
        except _SettingError as error:
            raise OSError(*error.args) from None
        finally:
            self._line.close()

    def _send(self, data: bytes, seconds: float) -> None:
        try:
            if not seconds / 2 <= self._line.write_timeout <= seconds + WRITE_SLACK:
                self._line.write_timeout = seconds
            self._line.write(data)
        except _pyserial().SerialTimeoutException:
            raise TimeoutError from None
        except _SettingError as error:
            raise OSError(*error.args) from None

    def _receive(self, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        first = b""
        while not self._line.in_waiting:
            left = end - time.monotonic()
            if left <= 0:
                return b""
            if left < POLL_TIME:
                time.sleep(left)
            elif first := self._line.read(1):
                break
        rest: bytes = self._line.read(min(self._line.in_waiting, _CHUNK))
        return first + rest

    def _port_of_adapter(self, number: str) -> str:
        """The port of the adapter with this serial number; another one may have come meanwhile."""
        ports = serial_ports()
        found = [port.device for port in ports if port.serial_number == number]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise InstrumentError(
                f"{self.name}: the adapter has the ports {' and '.join(found)}: name one of them; "
                "nothing was sent"
            )
        numbers = dict.fromkeys(port.serial_number for port in ports if port.serial_number)
        known = ", ".join(numbers)
        raise HardwareLost(
            f"{self.name}: no USB adapter has this serial number; "
            f"{f'there are {known}' if known else 'there is none'}; "
            "nothing was sent"
        )


def serial_ports() -> list[Any]:
    """The serial ports that there are, as pyserial's `ListPortInfo`.

    Raises `InstrumentError` where pyserial is missing.
    """
    _pyserial()
    return sorted(importlib.import_module("serial.tools.list_ports").comports())


def _pyserial() -> Any:
    try:
        module = importlib.import_module("serial")
    except ImportError:
        raise InstrumentError(
            "serial ports need pyserial: install it with 'python -m pip install pyserial', or "
            "artiq-link with its extra 'serial'"
        ) from None
    if not hasattr(module, "serial_for_url"):
        raise InstrumentError(
            "another package named 'serial' hides pyserial: install it anew with 'python -m pip "
            "uninstall serial pyserial' and 'python -m pip install pyserial'"
        )
    return module


def _why_not(port: str, error: OSError) -> str:
    """Why a port cannot be opened, and what to do."""
    if error.errno == errno.ENOENT or "FileNotFoundError" in str(error):
        known = ", ".join(each.device for each in serial_ports())
        others = f"there are {known}" if known else "there is no serial port"
        return f"{os.strerror(errno.ENOENT)}; is it plugged in? ({others})"
    # Windows denies a port that another program has, and pyserial keeps that as text only.
    if error.errno in {errno.EBUSY, errno.EAGAIN} or "PermissionError" in str(error):
        return "another program has the port open: close that first"
    if error.errno == errno.EACCES and sys.platform != "win32":
        return f"permission denied{_who_may(port)}"
    return f"cannot be opened: {system_words(error)}"


def _who_may(port: str) -> str:
    """Which group may open a device's file, and how to join it."""
    if sys.platform == "win32":
        return ""
    import grp
    import pwd

    try:
        owned = os.stat(port)
        group = grp.getgrgid(owned.st_gid)
        user = pwd.getpwuid(os.geteuid()).pw_name
    except (OSError, KeyError):  # an id without a name, as in containers
        return ""
    if not owned.st_mode & stat.S_IRGRP or not owned.st_mode & stat.S_IWGRP:
        return f": only {_owner(owned.st_uid)} may open it"
    if user in group.gr_mem:
        return f": you are in the group {group.gr_name} from your next login on: log in again"
    return (
        f": the port belongs to the group {group.gr_name}: join it with "
        f"'sudo usermod -aG {group.gr_name} {user}', and log in again"
    )


def _owner(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"
