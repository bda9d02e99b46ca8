"""Everything an operator can set: declared once, loaded strictly, documented from the same lines.

=================  =====================================================================================
``sections``       the settings themselves: one frozen class a section, one line a key
``option``         how a key is declared: default, meaning, bounds
``values``         one value: raw to typed, typed to TOML, and the words for what would be right
``network``        listen addresses, hub addresses, networks
``secret``         passwords and tokens that cannot be printed
``loading``        file, then environment, then types, then checks; every problem in one error
``checks``         what holds between keys
``document``       the commented configurations, docs/configuration.md, the settings in effect
=================  =====================================================================================

``document`` is imported by name: ``python -m meshtracker.settings.document`` rewrites the generated files.
"""

from __future__ import annotations

from meshtracker.settings.loading import SECRET_FILES, load
from meshtracker.settings.network import AdminAddress, IpAddress, IpNetwork, ListenAddress, RemoteAddress, UnixAddress
from meshtracker.settings.secret import Secret
from meshtracker.settings.sections import (
    AdminSettings,
    HttpSettings,
    LinkSettings,
    LogSettings,
    NodeSettings,
    Settings,
    SnapshotSettings,
    TrackerSettings,
    UdpSettings,
    default,
)

__all__ = [
    "SECRET_FILES",
    "AdminAddress",
    "AdminSettings",
    "HttpSettings",
    "IpAddress",
    "IpNetwork",
    "LinkSettings",
    "ListenAddress",
    "LogSettings",
    "NodeSettings",
    "RemoteAddress",
    "Secret",
    "Settings",
    "SnapshotSettings",
    "TrackerSettings",
    "UdpSettings",
    "UnixAddress",
    "default",
    "load",
]
