"""``python -m artiq_link`` is ``artiq-link``."""

import sys

from .cli import main

sys.exit(main())
