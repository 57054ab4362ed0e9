"""``python -m artiq_link`` is ``artiq-link``."""

import sys

from .cli.program import main

sys.exit(main())
