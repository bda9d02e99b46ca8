"""The command line: ``meshtracker``.

===============  ====================================================
``commands``     what there is to say, and the exit codes
``credentials``  ``meshtracker credential``: passwords of single nodes
``tables``       a node's status for people
``password``     a file with a new password in it
===============  ====================================================
"""

from __future__ import annotations

from meshtracker.cli.commands import main

__all__ = ["main"]
