"""A frequency scan that keeps what the DDS achieved at each point."""

import numpy as np
from artiq.experiment import EnvExperiment, RangeScan, Scannable

CHANNEL = 0


class FrequencyScan(EnvExperiment):
    """DDS frequency scan"""

    def build(self):
        self.setattr_device("dds")
        self.setattr_argument(
            "frequencies", Scannable(default=RangeScan(79e6, 81e6, 21), unit="MHz")
        )

    def run(self):
        asked = np.array(list(self.frequencies))
        self.set_dataset("asked", asked)
        self.set_dataset("achieved", np.full(len(asked), np.nan), broadcast=True)
        self.dds.set(CHANNEL, frequency=asked[0], amplitude=0.5)
        try:
            for index, frequency in enumerate(asked):
                achieved = self.dds.set_frequency(CHANNEL, frequency)
                # Here the experiment measures.
                self.mutate_dataset("achieved", index, achieved)
        finally:
            self.dds.set_amplitude(CHANNEL, 0.0)
