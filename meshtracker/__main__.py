"""``python -m meshtracker`` is the command ``meshtracker``."""

from __future__ import annotations

import sys

from meshtracker.cli import main

if __name__ == "__main__":
    sys.exit(main())
