"""A kernel that sets the DDS by RPC: waiting where the value counts, posting where time does.

It needs a core device: device_db_example.py says what to add.
"""

from artiq.experiment import EnvExperiment, MHz, delay, kernel, kHz, ms, rpc

CHANNEL = 0


class KernelRPC(EnvExperiment):
    """DDS from a kernel"""

    def build(self):
        self.setattr_device("core")
        self.setattr_device("dds")
        self.points = 20

    @rpc(flags={"async"})
    def keep(self, achieved):
        """Keep what was achieved, without the kernel waiting."""
        self.set_dataset("achieved", achieved, broadcast=True)

    @kernel
    def run(self):
        self.core.reset()

        # A waiting RPC takes milliseconds, in which the timeline stands still: it is moved ahead
        # of the clock again before the next real-time event, or that would underflow.
        self.keep(self.dds.set_frequency(CHANNEL, 80 * MHz))
        self.dds.output(CHANNEL, True)
        self.core.break_realtime()

        # Posting costs the kernel microseconds.
        for point in range(self.points):
            self.dds.post_frequency(CHANNEL, 80 * MHz + point * 10 * kHz)
            delay(1 * ms)

        # All points are at the DDS when this returns, or it raises what became of the first
        # that was not.
        self.dds.flush()
        self.core.break_realtime()
