"""A plan that is checked before anything moves, and then posted.

``prepare`` runs while the experiment before is still running: a wrong plan costs no time of the
hardware. ``artiq_run ... checked_plan.py stop=500e6`` shows what it says of one.
"""

import numpy as np
from artiq.experiment import EnvExperiment, NumberValue

CHANNEL = 0
POINTS = 1000


class CheckedPlan(EnvExperiment):
    """DDS plan checked in advance"""

    def build(self):
        self.setattr_device("dds")
        self.setattr_argument("start", NumberValue(70e6, unit="MHz"))
        self.setattr_argument("stop", NumberValue(90e6, unit="MHz"))

    def prepare(self):
        self.frequencies = np.linspace(self.start, self.stop, POINTS)
        self.dds.check(
            [
                {"command_id": "set_frequency", "channel": CHANNEL, "frequency": frequency}
                for frequency in self.frequencies
            ]
        )

    def run(self):
        for frequency in self.frequencies:
            self.dds.post("set_frequency", channel=CHANNEL, frequency=frequency)
            # Here the experiment goes on at once.
        self.dds.flush()
        self.set_dataset("last", self.dds.get_frequency(CHANNEL))
