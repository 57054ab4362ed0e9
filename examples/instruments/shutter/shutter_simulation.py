"""The Arduino with shutter/shutter.ino, simulated."""

from artiq_link.transports.fake import LineDevice


class SimulatedShutter(LineDevice):
    """Four shutters, which a restart closes."""

    def __init__(self):
        super().__init__()
        self.is_open = [False] * 4

    def restart(self):
        """The power was off, or the port was opened without the capacitor."""
        super().restart()
        self.is_open = [False] * 4

    def answer(self, line):
        """The answer to one line, both without their ends."""
        match line.decode("ascii", "replace").split(" "):
            case ["identify"]:
                return b"shutter 1"
            case ["get"]:
                return b"".join(b"1" if each else b"0" for each in self.is_open)
            case ["open" | "close" as verb, "0" | "1" | "2" | "3" as channel]:
                self.is_open[int(channel)] = verb == "open"
                return b"ok"
            case _:
                return b"error: what is that?"
