"""The DDS: its commands, its values and their limits, and what it asks of a driver."""
