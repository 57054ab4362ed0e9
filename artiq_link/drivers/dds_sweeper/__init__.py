"""The dds-sweeper: an AD9959 behind a Raspberry Pi Pico, by its text."""
