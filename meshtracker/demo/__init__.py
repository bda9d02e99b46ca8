"""A newcomer's first five minutes: a hub, three leaves and simulated clients in one process, on loopback.

===========  ==========================================================================
``run``      start to exit code: everything in one nursery, then the verdict
``mesh``     the four nodes, by `meshtracker.app.serve` as in earnest
``swarms``   the torrents, and how to ask who is in a swarm
``clients``  simulated clients over real UDP and HTTP sockets: the truth to be told
``probe``    the delay from announce to visible elsewhere, over sockets
``figures``  what is shown, as frozen figures
``view``     figures as a live picture, or as lines
``verdict``  does every node hand out exactly the peers that are there?
``summary``  the end of it
===========  ==========================================================================
"""

from __future__ import annotations

from meshtracker.demo.run import main

__all__ = ["main"]
