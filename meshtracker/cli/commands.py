"""The commands. What only one of them needs is imported there, so that each starts fast.

exit code   0   done; a node that was told to stop has stopped
            1   the node could not start, or crashed; the demo found a node that lacks a peer
            2   the configuration or the command line is wrong
            3   no node answers, or it refuses: the token, or a command for a link that it does not have
          130   the demo was ended by a second Ctrl-C, without a verdict
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from meshtracker import __version__
from meshtracker.admin.client import NodeUnreachableError, command_links, fetch
from meshtracker.admin.commands import MAX_CALLER_CHARACTERS
from meshtracker.admin.tokens import CONTROL_TOKEN_FILE, read_control_token
from meshtracker.cli import credentials
from meshtracker.compiled import execution
from meshtracker.errors import ConfigurationError, StartError
from meshtracker.settings import ListenAddress, Settings, load

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2
EXIT_UNREACHABLE = 3
DAY_SECONDS = 86_400

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a node that listens everywhere is found

ConfigFile = Annotated[Path, Parameter(("-c", "--config"), help="The node's configuration (TOML).")]
AnyConfigFile = Annotated[
    Path | None, Parameter(("-c", "--config"), help="The node's configuration: says where it listens, and the token.")
]
AdminAddress = Annotated[
    str | None, Parameter("--admin", help="Where it listens instead: http://host:port or unix:/path.")
]
LinkName = Annotated[
    str | None, Parameter("NAME", help="The linked node's name, or the hub's address as configured (host:port).")
]
AllLinks = Annotated[bool, Parameter("--all", negative=(), help="All links.")]
Reason = Annotated[str, Parameter(help="Why: for the log of both nodes.")]
AsJson = Annotated[bool, Parameter("--json", negative=(), help="Print JSON, for programs.")]

app = App(
    name="meshtracker",
    help="BitTorrent trackers that act as one. A setting can also be given as MESHTRACKER__SECTION__KEY.",
    version=lambda: f"{__version__} ({execution()})",
    help_format="plaintext",
)
link = app.command(App(name="link", help="The links between this node and others.", help_format="plaintext"))
app.command(credentials.app)
config = app.command(App(name="config", help="Configuration files.", help_format="plaintext"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; ``arguments`` are those of the process if not given."""
    try:
        code = app(arguments, result_action="return_value")
    except ConfigurationError as error:
        return _fail(error, EXIT_MISCONFIGURED)
    except NodeUnreachableError as error:
        return _fail(error, EXIT_UNREACHABLE)
    except StartError as error:
        return _fail(error, EXIT_FAILED)
    return code or 0


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"meshtracker: {error}\n")
    return code


def _write(text: str) -> None:
    sys.stdout.write(text)


@app.command
def run(*, config: ConfigFile) -> None:
    """Run a node until it is told to stop (SIGTERM, Ctrl-C)."""
    settings = load(config, os.environ)
    from meshtracker.app import run as run_node

    run_node(settings)


@app.command
def demo(
    *,
    seconds: Annotated[
        float | None,
        Parameter(help="End after this; without it Ctrl-C ends it.", validator=Number(gte=1, lte=DAY_SECONDS)),
    ] = None,
    plain: Annotated[bool, Parameter(negative=(), help="Lines instead of a live screen.")] = False,
) -> int:
    """A hub, three leaves and simulated clients on this machine; fails if any node lacks a peer."""
    from meshtracker.demo import main as run_demo

    code: int = run_demo(seconds=seconds, plain=plain)
    return code


@app.command
def status(*, config: AnyConfigFile = None, admin: AdminAddress = None, as_json: AsJson = False) -> None:
    """What a running node is doing."""
    figures = _ask("/api/status", config, admin)
    if as_json:
        _write_json(figures)
        return
    from meshtracker.cli.tables import make_console, print_status

    print_status(make_console(), figures)


@link.command(name="status")
def link_status(*, config: AnyConfigFile = None, admin: AdminAddress = None, as_json: AsJson = False) -> None:
    """The links of a running node: are they synced, and how did they get there?"""
    links = _ask("/api/links", config, admin)
    if as_json:
        _write_json(links)
        return
    from meshtracker.cli.tables import make_console, print_links

    print_links(make_console(), links)


@link.command(name="reset")
def link_reset(
    name: LinkName = None,
    /,
    *,
    everybody: AllLinks = False,
    full: Annotated[bool, Parameter(negative=(), help="Send everything anew, not only what was missed.")] = False,
    reason: Reason = "",
    config: AnyConfigFile = None,
    admin: AdminAddress = None,
) -> None:
    """Close links of a running node; they come back and resync."""
    _command_links("reset", name, {"all": everybody, "full": full, "reason": reason}, config, admin)


@link.command(name="disable")
def link_disable(
    name: LinkName = None,
    /,
    *,
    everybody: AllLinks = False,
    reason: Reason = "",
    config: AnyConfigFile = None,
    admin: AdminAddress = None,
) -> None:
    """Close links and refuse them until they are enabled, or the node starts again."""
    _command_links("disable", name, {"all": everybody, "reason": reason}, config, admin)


@link.command(name="enable")
def link_enable(
    name: LinkName = None,
    /,
    *,
    everybody: AllLinks = False,
    reason: Reason = "",
    config: AnyConfigFile = None,
    admin: AdminAddress = None,
) -> None:
    """Let disabled links come back."""
    _command_links("enable", name, {"all": everybody, "reason": reason}, config, admin)


@link.command(name="forget")
def link_forget(
    name: LinkName = None,
    /,
    *,
    everybody: AllLinks = False,
    reason: Reason = "",
    config: AnyConfigFile = None,
    admin: AdminAddress = None,
) -> None:
    """Forget what is remembered of a node that is not linked: why it is refused, and its counts."""
    _command_links("forget", name, {"all": everybody, "reason": reason}, config, admin)


def _command_links(
    action: str, name: str | None, fields: dict[str, Any], config: Path | None, admin: str | None
) -> None:
    if (name is None) is not fields["all"]:
        raise ConfigurationError(source="command line", key="", problem="say the NAME of a link, or --all")
    settings = load(config, os.environ)
    fields |= {"name": name, "caller": _caller()}
    token = _control_token(settings)
    names = command_links(admin or _admin_address(settings), action, fields, token=token)
    _write("".join(f"{touched}: {action}\n" for touched in names) or "no links\n")


def _caller() -> str:
    """Who gives the command, for the audit log."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:MAX_CALLER_CHARACTERS]


def _ask(path: str, config: Path | None, admin: str | None) -> Any:
    settings = load(config, os.environ)
    token = settings.admin.read_token or settings.admin.control_token
    return fetch(admin or _admin_address(settings), path, token=token.reveal() if token else None)


def _control_token(settings: Settings) -> str | None:
    """As configured, or else the one that the node made for itself; its refusal says what is missing."""
    if settings.admin.control_token is not None:
        return settings.admin.control_token.reveal()
    if settings.node.state_dir is None:
        return settings.admin.read_token.reveal() if settings.admin.read_token else None
    try:
        return read_control_token(settings.node.state_dir)
    except (OSError, ValueError) as error:
        path = settings.node.state_dir / CONTROL_TOKEN_FILE
        problem = f"cannot be read: {getattr(error, 'strerror', None) or error}; it is for the node's own user"
        raise ConfigurationError(source=str(path), key="", problem=problem) from error


def _admin_address(settings: Settings) -> str:
    if not settings.admin.listen:
        raise NodeUnreachableError("admin.listen is empty: this node has no admin API")
    address = settings.admin.listen[0]
    if not isinstance(address, ListenAddress):
        return str(address)
    if not address.port:
        raise NodeUnreachableError(
            "admin.listen leaves the port to the system (0): say it with --admin http://host:port"
        )
    return f"http://{ListenAddress(_LOOPBACK.get(address.host, address.host), address.port)}"


def _write_json(value: Any) -> None:
    _write(json.dumps(value, indent=2) + "\n")


@config.command(name="default")
def config_default(kind: Literal["standalone", "hub", "leaf"] = "standalone", /) -> None:
    """Print a configuration with every key explained."""
    from meshtracker.settings.document import render_default

    _write(render_default(kind))


@config.command(name="check")
def config_check(*, config: ConfigFile) -> None:
    """Say everything that is wrong with a configuration and the files it names."""
    from meshtracker.app.build import check_files

    check_files(load(config, os.environ))
    _write(f"{config}: ok\n")


@config.command(name="show")
def config_show(*, config: AnyConfigFile = None) -> None:
    """Print the settings in effect and who set them; secrets are masked."""
    from meshtracker.settings.document import render_effective

    _write(render_effective(load(config, os.environ)))


@app.command
def password(file: Path, /) -> None:
    """Make a file with a new password of a mesh, for its owner alone; a file that has one is left as it is."""
    from meshtracker.cli.password import write_password

    written = write_password(file)
    _write(f"{file}: {'a new password' if written else 'has one already, left as it is'}\n")
