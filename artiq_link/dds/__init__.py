"""The DDS: its commands, its values and their limits, and what it asks of a driver."""

from .channel import Channel
from .dds import DDS

__all__ = ["DDS", "Channel"]
