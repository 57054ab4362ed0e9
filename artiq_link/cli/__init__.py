"""The programs ``artiq-link`` and ``aqctl_artiq_link``."""
