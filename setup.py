"""Compiles the hot modules with mypyc where that is at hand; see `make wheel`, and docs/decisions/0014.

Everything else about the package is in pyproject.toml. Without mypyc, or without a C compiler, the very same modules
are installed as the plain Python that they are.
"""

from __future__ import annotations

from setuptools import Extension, setup

HOT = (
    "model",
    "throttle",
    "wire/compact",
    "wire/udp",
    "wire/connection_id",
    "wire/varint",
    "wire/frame",
    "wire/vector",
    "wire/batch",
    "wire/peer_record",
    "wire/completed_record",
    "wire/query",
    "wire/http_head",
    "wire/http_answer",
    "wire/http_response",
    "swarm/access",
    "swarm/streams",
    "swarm/merging",
    "swarm/peer_table",
    "swarm/completed_table",
    "swarm/swarm",
    "swarm/registry",
    "swarm/selection",
    "swarm/expiry",
    "link/clock",
    "link/outbox",
    "link/log",
    "node/mesh",
    "node/node",
    "frontends/networks",
    "frontends/udp",
    "frontends/http",
    "frontends/http_connection",
    "network/datagrams",
    "network/http",
)
"""What an announce and a relayed record pass through, each with what it calls there."""

IN_C = ("swarm/_peers", "network/_batch", "network/_http")
"""What neither way of running Python is fast enough for; see docs/decisions/0015."""
SHARED_BY_C = ["meshtracker/swarm/_peers.h", "meshtracker/node/_refreshes.h"]


def extensions() -> list[Extension]:
    """None where mypyc is not installed: nobody needs a compiler to install a tracker."""
    try:
        from mypyc.build import mypycify
    except ImportError:
        return []
    modules: list[Extension] = mypycify([f"meshtracker/{name}.py" for name in HOT], opt_level="3", debug_level="0")
    for name in IN_C:
        dotted = f"meshtracker/{name}".replace("/", ".")
        modules.append(Extension(dotted, [f"meshtracker/{name}.c"], depends=SHARED_BY_C, extra_compile_args=["-O3"]))
    for module in modules:
        module.optional = True
    return modules


setup(ext_modules=extensions())
