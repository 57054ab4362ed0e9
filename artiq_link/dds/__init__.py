"""The DDS: its commands, its values and their limits, and what it asks of a driver."""

from .dds import DDS
from .types import Channel

__all__ = ["DDS", "Channel"]
