"""Inputs that reach every line of the wires: ``python -m benchmarks.torture.fuzz --seconds 60``.

Atheris finds them (``pip install atheris``, no dependency of the project): it watches which lines
an input reaches, and changes those that reach new ones. Whatever the bytes, a wire raises nothing,
answers what is wrong, and makes the same of them at once and in pieces.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="(default: %(default)s)")
    chosen = parser.parse_args()
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["artiq_link.wire", "artiq_link.values"]):
        from benchmarks.torture.fuzzed import check
        from benchmarks.torture.mutations import seeds
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            Path(folder, str(number)).write_bytes(b"\x07" + seed)
        options = [f"-max_total_time={chosen.seconds}", "-max_len=4096", "-timeout=10"]
        places = [f"-artifact_prefix={folder}/", folder]
        atheris.Setup([sys.argv[0], *options, *places], check)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
