"""The link, serving commands that take much: ``python benchmarks/instrument.py``.

It serves with whichever ``artiq_link`` Python finds, so that other versions can be measured too.
"""

import numpy as np

import artiq_link


class Sink(artiq_link.Instrument):
    """Takes what it gets."""

    @artiq_link.command
    def take(self, values: np.ndarray) -> int:
        """Tell how many values there are."""
        return len(values)

    @artiq_link.command
    def read(self, text: str) -> int:
        """Tell how many characters there are."""
        return len(text)


if __name__ == "__main__":
    artiq_link.start_server({"sink": Sink()}, port=0)
