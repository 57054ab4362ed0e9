"""The server of the wavemeter: the frequencies of eight lasers, one by one or as arrays.

python wavemeter_server.py                 on the PC that runs HighFinesse's program
python wavemeter_server.py --simulation    anywhere
"""

import ctypes
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import Annotated, Any

import msgspec
import numpy as np
from wavemeter_simulation import SimulatedWlmData

import artiq_link
from artiq_link import Instrument, InstrumentError, command, reading

Channel = Annotated[int, msgspec.Meta(ge=1, le=8)]
Frequency = Annotated[float, msgspec.Meta(extra={"unit": "Hz"})]
Count = Annotated[int, msgspec.Meta(ge=0)]

CHANNELS = range(1, 9)
INTERVAL = 0.02  # s; eight exposures of a few milliseconds
KEPT = 50_000  # readings of a channel: a quarter of an hour, 6 MB

# What GetFrequencyNum returns in place of a frequency (HighFinesse, wlmData.h).
FAULTS = {
    0: "there is no reading yet",
    -1: "there is no signal",
    -2: "the signal cannot be evaluated",
    -3: "the signal is too weak",
    -4: "the signal is too strong",
    -5: "HighFinesse's program does not run",
}


class Wavemeter(Instrument):
    """A HighFinesse wavemeter with a switch of eight channels."""

    def __init__(self, load_library, interval=INTERVAL):
        self.load_library = load_library
        self.interval = interval
        self.library = None
        self._lock = threading.Lock()  # the readings come in a thread of their own
        self._kept = {channel: deque(maxlen=KEPT) for channel in CHANNELS}
        self._counts = dict.fromkeys(CHANNELS, 0)
        self._faults = dict.fromkeys(CHANNELS, FAULTS[0])
        self._stopped = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="wavemeter", daemon=True)

    def open_hardware(self):
        """Find HighFinesse's program, and begin to read; nothing is set in it."""
        self.library = self.load_library()
        if not self.library.GetWLMCount(0):
            raise InstrumentError(f"{FAULTS[-5]}: start it, and the server again")
        self.read_all()
        self._reader.start()

    @command
    def frequency(self, channel: Channel) -> Frequency:
        """Return the newest frequency of a laser."""
        with self._lock:
            if self._faults[channel]:
                raise InstrumentError(f"channel {channel}: {self._faults[channel]}")
            return self._kept[channel][-1][1]

    @reading(period=0.2)
    def frequencies(self) -> dict[str, Frequency | None]:
        """The newest frequency of each laser, for those who watch; None where there is none."""
        with self._lock:
            return {
                str(channel): None if self._faults[channel] else self._kept[channel][-1][1]
                for channel in CHANNELS
            }

    @command
    def readings(self, channel: Channel, after: Count = 0) -> dict[str, Any]:
        """Return a laser's readings behind the first `after` ones, as arrays.

        `time` is in seconds since 1970, `frequency` in Hz. `count` is how many readings there
        have been so far: give it as the next `after`, and no reading comes twice. There are
        fewer than `count` - `after` where older ones are not kept any more.
        """
        with self._lock:
            count, kept = self._counts[channel], self._kept[channel]
            new = min(max(count - after, 0), len(kept))
            pairs = list(islice(kept, len(kept) - new, None))
        times, frequencies = np.array(pairs, dtype=float).reshape(-1, 2).T
        return {"count": count, "time": times, "frequency": frequencies}

    def read_all(self):
        """Read all channels once."""
        for channel in CHANNELS:
            terahertz = self.library.GetFrequencyNum(channel, 0.0)
            with self._lock:
                if terahertz > 0:
                    self._kept[channel].append((time.time(), terahertz * 1e12))
                    self._counts[channel] += 1
                    self._faults[channel] = ""
                else:
                    self._faults[channel] = FAULTS.get(terahertz, f"error {terahertz:g}")

    def _read_on(self):
        try:
            while not self._stopped.wait(self.interval):
                self.read_all()
        except Exception as error:  # noqa: BLE001 or old readings would stand for new ones
            with self._lock:
                self._faults = dict.fromkeys(CHANNELS, f"readings have ended: {error}")

    def close(self):
        """End the readings; the wavemeter goes on."""
        self._stopped.set()
        if self._reader.is_alive():
            self._reader.join()


def load_wlm_data():
    """HighFinesse's library, which their program installs."""
    try:
        if sys.platform == "win32":
            library = ctypes.WinDLL("wlmData.dll")
        else:
            library = ctypes.CDLL("libwlmData.so")
    except OSError as error:
        raise InstrumentError(f"{error}; is HighFinesse's program installed?") from None
    library.GetFrequencyNum.argtypes = [ctypes.c_long, ctypes.c_double]
    library.GetFrequencyNum.restype = ctypes.c_double
    return library


# The instrument. Its hardware is not touched before the server has its port.
wavemeter = Wavemeter(load_wlm_data)


def start_server(host="127.0.0.1", port=65432, debug=False, **options):
    """Listen for ever. With debug, print each message received and sent."""
    artiq_link.start_server({"wavemeter": wavemeter}, host=host, port=port, debug=debug, **options)


if __name__ == "__main__":
    options = artiq_link.parse_server_options(__doc__)
    if options.simulation:
        wavemeter = Wavemeter(SimulatedWlmData)
    start_server(options.host, options.port, options.debug, **options.more)
