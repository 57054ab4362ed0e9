"""The demo runs to its end and shows every exchange."""

from __future__ import annotations

import re
import sys

from tests.probe import PATIENCE
from tests.programs import ROOT, finish, running

DEMO_TIME = 3 * PATIENCE
"""Its programs run one after the other."""


def test_the_demo_shows_the_main_job_and_ends_with_0() -> None:
    with running(sys.executable, str(ROOT / "examples" / "demo.py"), patience=DEMO_TIME) as demo:
        code, output, errors = finish(demo, DEMO_TIME)
    assert (code, errors) == (0, "")
    lines = iter(output.splitlines())
    # What stands between these lines may change; these, in this order, are the demo's point.
    for expected in [
        r"\$ python server\.py --port 0 --simulation --debug",
        r"listening on 127\.0\.0\.1:\d+",
        r"\$ python client\.py --port \d+",
        r"success: test_command test_command was received",
        r"success: set_frequency \{'frequency': 80000000\.0745058\}",
        r"success: get \{'channel': 0, .*'frequency': 80000000\.0745058, .*\}",
        r"\$ python -m artiq_link send --port \d+ set_frequency channel=0 frequency=123\.4MHz",
        r"frequency: 123\.39999992400408 MHz",
        r"\$ python -m artiq_link send --port \d+ set_many 'settings=\[.*\]'",
        r"- frequency: 123\.39999992400408 MHz",
        r"  phase: 0\.25 turns",
        r"- frequency: 10\.000000009313226 MHz",
        r"\$ python -m artiq_link send --port \d+ --json get channel=0",
        r'\{"status": "success", "command_id": "get", .*"phase": 0\.25.*\}',
        r"\$ python -m artiq_link describe --port \d+",
        r"dds: .*",
        r".* set_frequency .*",
        r"\$ python -m artiq_link ping --port \d+ --count 5",
        r"minimum \S+ ms, median \S+ ms, maximum \S+ ms",
        r"what the server printed:",
        r'received from 127\.0\.0\.1:\d+: \{"command_id": "test_command", .*\}',
        r"param1: 42",
        r"param2: hello",
        r"param3: True",
        r"param4: \[1, 2, 3\]",
        r'sent to 127\.0\.0\.1:\d+: \{"status": "success", "command_id": "test_command", .*\}',
        r'received from .*: \{"command_id": "set_frequency", "channel": 0, .*\}',
        r"the server stopped with exit code 0",
    ]:
        assert any(re.fullmatch(expected, line) for line in lines), f"{expected} in:\n{output}"
