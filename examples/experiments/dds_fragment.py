"""A channel of a lab PC's DDS as an ndscan fragment, whose tone can be scanned.

It needs ndscan, and of artiq_link the one file link_client.py. Without ndscan the master skips
this file when it scans its repository.
"""

from artiq.experiment import MHz
from ndscan.experiment import (
    ExpFragment,
    FloatChannel,
    FloatParam,
    Fragment,
    IntParam,
    StringParam,
    make_fragment_scan_exp,
)

from artiq_link.link_client import Link


class DDSFragment(Fragment):
    """A channel of a lab PC's DDS, set anew wherever one of its parameters has changed."""

    def build_fragment(self):
        self.setattr_device("scheduler")
        # Defaults of texts are PYON: they have quotes of their own.
        self.setattr_param("host", StringParam, "Lab PC", '"127.0.0.1"', is_scannable=False)
        self.setattr_param("port", IntParam, "Port", 65432, min=1, is_scannable=False)
        self.setattr_param("channel", IntParam, "DDS channel", 0, min=0, is_scannable=False)
        self.setattr_param("frequency", FloatParam, "Frequency", 80 * MHz, min=0.0, unit="MHz")
        self.setattr_param("phase", FloatParam, "Phase in turns", 0.0)
        self.setattr_param("amplitude", FloatParam, "Amplitude", 0.5, min=0.0, max=1.0)

    def host_setup(self):
        super().host_setup()
        rid = self.scheduler.rid
        self.link = Link(self.host.get(), self.port.get(), timeout=2.0, link={"rid": rid})
        self.link.__enter__()  # one connection for the whole scan
        self.achieved = None

    def device_setup(self):
        parameters = (self.frequency, self.phase, self.amplitude)
        if self.achieved is not None and not any(p.changed_after_use() for p in parameters):
            return
        self.achieved = self.link.call(
            "set",
            channel=self.channel.get(),
            frequency=self.frequency.use(),
            phase=self.phase.use(),
            amplitude=self.amplitude.use(),
        )

    def host_cleanup(self):
        self.link.__exit__(None, None, None)
        super().host_cleanup()


class DDSScan(ExpFragment):
    """DDS by ndscan"""

    def build_fragment(self):
        self.setattr_fragment("tone", DDSFragment)
        self.setattr_result("achieved", FloatChannel, unit="MHz", scale=MHz)

    def run_once(self):
        # Here an experiment of yours measures something.
        self.achieved.push(self.tone.achieved["frequency"])


ScanDDS = make_fragment_scan_exp(DDSScan)
