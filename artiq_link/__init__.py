"""The link between ARTIQ experiments and the instruments of lab PCs.

The public names load their modules when they are first used, so that
``from artiq_link.link_client import send_data`` costs an experiment nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dds.calibration import Calibration as Calibration
    from .dds.channel import Channel as Channel
    from .dds.channel import SetPoint as SetPoint
    from .dds.configuration import read_channels as read_channels
    from .dds.dds import DDS as DDS
    from .drivers.scpi import ScpiDriver as ScpiDriver
    from .drivers.scpi_profiles import SCPI_PROFILES as SCPI_PROFILES
    from .drivers.scpi_profiles import ScpiProfile as ScpiProfile
    from .drivers.simulated import SimulatedDriver as SimulatedDriver
    from .drivers.windfreak_synthhd import WindfreakDriver as WindfreakDriver
    from .errors import Aborted as Aborted
    from .errors import ExchangeError as ExchangeError
    from .errors import HardwareLost as HardwareLost
    from .errors import HardwareRestarted as HardwareRestarted
    from .errors import InstrumentError as InstrumentError
    from .errors import InvalidParameter as InvalidParameter
    from .errors import OutOfRange as OutOfRange
    from .errors import UnknownCommand as UnknownCommand
    from .exchanges.exchange import current_exchange as current_exchange
    from .exchanges.exchange import progress as progress
    from .exchanges.state_reader import publish as publish
    from .instrument.activity import Activity as Activity
    from .instrument.command import command as command
    from .instrument.instrument import Instrument as Instrument
    from .instrument.message import unknown as unknown
    from .instrument.reading import reading as reading
    from .link_client import ConnectFailed as ConnectFailed
    from .link_client import LeaseLost as LeaseLost
    from .link_client import Link as Link
    from .link_client import LinkError as LinkError
    from .link_client import NoReply as NoReply
    from .link_client import ServerFailed as ServerFailed
    from .link_client import exchange as exchange
    from .link_client import send_data as send_data
    from .server.addresses import CannotListen as CannotListen
    from .server.options import parse_server_options as parse_server_options
    from .server.program import serve_in_background as serve_in_background
    from .server.program import start_server as start_server
    from .server.server import LinkServer as LinkServer
    from .version import __version__ as __version__


_NAMES = {
    "instrument.activity": ["Activity"],
    "instrument.command": ["command"],
    "dds.dds": ["DDS"],
    "dds.calibration": ["Calibration"],
    "dds.channel": ["Channel", "SetPoint"],
    "dds.configuration": ["read_channels"],
    "drivers.scpi": ["ScpiDriver"],
    "drivers.scpi_profiles": ["SCPI_PROFILES", "ScpiProfile"],
    "drivers.simulated": ["SimulatedDriver"],
    "drivers.windfreak_synthhd": ["WindfreakDriver"],
    "errors": [
        "Aborted",
        "ExchangeError",
        "HardwareLost",
        "HardwareRestarted",
        "InstrumentError",
        "InvalidParameter",
        "OutOfRange",
        "UnknownCommand",
    ],
    "instrument.instrument": ["Instrument"],
    "instrument.message": ["unknown"],
    "instrument.reading": ["reading"],
    "link_client": [
        "ConnectFailed",
        "LeaseLost",
        "Link",
        "LinkError",
        "NoReply",
        "ServerFailed",
        "exchange",
        "send_data",
    ],
    "server.addresses": ["CannotListen"],
    "server.program": ["serve_in_background", "start_server"],
    "server.server": ["LinkServer"],
    "server.options": ["parse_server_options"],
    "exchanges.exchange": ["current_exchange", "progress"],
    "exchanges.state_reader": ["publish"],
    "version": ["__version__"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
