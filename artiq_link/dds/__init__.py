"""The DDS: names, limits, ramps, tables, and what it asks of a driver."""

from .dds import DDS, Channel

__all__ = ["DDS", "Channel"]
