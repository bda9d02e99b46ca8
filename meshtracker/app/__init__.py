"""Puts a node together from its settings and runs it.

=========  ===============================================================
``build``  settings → the objects of a node, its sockets, its certificate
``run``    the one nursery: start, serve, drain
``upkeep`` what a node does by the clock: flush, expire, watch wall time
``log``    structlog
=========  ===============================================================
"""

from __future__ import annotations

from meshtracker.app.run import RunningNode, run, serve

__all__ = ["RunningNode", "run", "serve"]
