"""Builds a node from its settings and runs it: one nursery, each step of the start one line.

A service that crashes ends the node with its cause; trouble with one connection ends that connection only.
"""

from __future__ import annotations

import functools
import logging
import random
import secrets
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import attrs
import structlog
import trio

from meshtracker import __version__
from meshtracker.admin.server import AdminService
from meshtracker.errors import StartError
from meshtracker.frontends.http import HttpFrontend
from meshtracker.frontends.udp import UdpFrontend
from meshtracker.link.authentication import Credential
from meshtracker.link.clock import HybridClock
from meshtracker.link.session import LinkPolicy
from meshtracker.network import http, link, tls, udp
from meshtracker.node.mesh import MeshPolicy
from meshtracker.node.node import Node
from meshtracker.node.policy import TrackerPolicy
from meshtracker.settings import Settings
from meshtracker.swarm.access import Access
from meshtracker.throttle import Throttle
from meshtracker.wire.connection_id import ConnectionIds
from meshtracker.wire.link import is_name

log = structlog.get_logger()

SNAPSHOT_FILE = "swarms.snapshot"
DRAIN_SECONDS = 3.0
"""Time to tell the mesh the last changes and to save the swarms, once asked to stop."""
_SWEEP_SECONDS = 30.0
"""One round of expiry over all peers."""
_CLOCK_CHECK_SECONDS = 1.0
_CLOCK_STEP_SECONDS = 0.2
"""Wall time may wander from monotonic time by this much before it is taken over."""


Endpoints = tuple[tuple[str, int], ...]
"""Hosts and ports."""


@attrs.frozen(kw_only=True)
class RunningNode:
    """A node that serves, and where."""

    node: Node
    udp: Endpoints
    http: Endpoints
    link: Endpoints
    admin: tuple[str, ...]
    """URLs, or ``unix:/path``."""
