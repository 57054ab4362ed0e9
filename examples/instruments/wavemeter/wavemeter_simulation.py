"""HighFinesse's library, simulated: two lasers that drift, one that is too weak."""

import itertools


class SimulatedWlmData:
    """Has those functions of wlmData that the server calls."""

    def __init__(self):
        self.programs = 1
        self.steps = itertools.count()
        # Terahertz, or the library's code for what is wrong.
        self.signals = {1: 384.2281, 2: 377.1074, 3: -3.0}

    def GetWLMCount(self, _):  # noqa: N802 the library's name
        """How many of HighFinesse's programs run."""
        return self.programs

    def GetFrequencyNum(self, channel, _):  # noqa: N802
        """The newest frequency in THz, which drifts by 1 MHz a reading, or a code below 1."""
        signal = self.signals.get(channel, -1.0)
        return signal + next(self.steps) * 1e-6 if signal > 0 else signal
