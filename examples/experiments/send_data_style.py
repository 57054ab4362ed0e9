"""Commands as dictionaries, and three functions for what becomes of them.

It needs no device database, and of artiq_link the one file link_client.py.
"""

import math

from artiq.experiment import EnvExperiment, NumberValue

from artiq_link.link_client import send_data

HOST, PORT = "127.0.0.1", 65432  # the lab PC


class SendDataStyle(EnvExperiment):
    """DDS by send_data"""

    def build(self):
        self.setattr_argument("frequency", NumberValue(80e6, unit="MHz"))

    def run(self):
        self.achieved = math.nan
        send_data(
            {"command_id": "set_frequency", "channel": 0, "frequency": self.frequency},
            HOST,
            PORT,
            timeout=2.0,
            server_success=self.server_success,
            server_fail=self.server_fail,
            fail_connect=self.fail_connect,
        )
        self.set_dataset("achieved", self.achieved)

    def server_success(self, response_data):
        """The server has done it."""
        self.achieved = response_data["result"]["frequency"]

    def server_fail(self, response_data):
        """The server said no: the rest of the run would be worth nothing."""
        raise RuntimeError(response_data["error"])

    def fail_connect(self):
        """There was no connection or no answer; the log says why."""
        raise RuntimeError(f"the lab PC at {HOST}:{PORT} does not answer")
