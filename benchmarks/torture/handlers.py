"""Commands that do what no command should: the next one is served all the same."""

from __future__ import annotations

from artiq_link import LinkError, NoReply, ServerFailed
from benchmarks.torture.lab import Lab
from benchmarks.torture.trial import Trial

COMMANDS = [
    "fail", "fail_wildly", "leave", "interrupt", "recurse", "allocate", "print", "give_object",
    "give_itself", "give_not_a_number", "give_surrogate", "give_too_much", "spawn",
    "fail_in_a_thread", "fail_in_the_loop", "leave_in_the_loop", "hang", "close_files",
]  # fmt: skip

FINE = {"print", "spawn", "hang", "fail_in_a_thread", "close_files", "give_too_much"}
"""Those that succeed, whatever they do beside."""


def handlers(trial: Trial) -> None:
    """Call each bad command, and after each an ordinary one of both instruments.

    What they do lasts: each time it is another server.
    """
    for _ in range(trial.times):
        with trial.lab() as lab:
            _torment(trial, lab)
    trial.figures["commands"] = len(COMMANDS) * trial.times


def _torment(trial: Trial, lab: Lab) -> None:
    link = lab.link()
    for name in COMMANDS:
        try:
            link.call(name)
            told = "success"
        except ServerFailed as error:
            told = error.code
        except NoReply as error:
            told = str(error)
        expected = ("success",) if name in FINE else ("internal_error", "instrument_error")
        trial.must(told in expected, f"{name}: {told}")
        trial.must(lab.is_served(name), f"not served after {name}")
        try:
            link.call("set_clock", back=0.0)
        except LinkError as error:
            trial.must(False, f"the same instrument after {name}: {error}")
    try:
        lab.link(0.2).call("hang")
        trial.must(False, "a command that hangs was waited for")
    except ServerFailed as error:
        trial.must(error.code == "timeout", f"hang: {error}")
    trial.must(lab.is_served("beside"), "not served beside a command that hangs")
    trial.must(lab.stop() == 0, "Ctrl-C does not end the server with exit code 0")
