"""``meshtracker credential``: who may link to a hub with a password of its own, and who no longer."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from meshtracker.cli.password import make_password, write_password
from meshtracker.errors import StartError
from meshtracker.settings import Secret
from meshtracker.wire.vector import MAX_NAME_BYTES, is_name

if TYPE_CHECKING:
    from meshtracker.link.proof.credentials import CredentialList

app = App(
    name="credential", help="Passwords of single nodes, as a hub's link.credentials_file.", help_format="plaintext"
)


def _check_name(_: Any, name: str) -> None:
    if not is_name(name):
        raise ValueError(f"a node's name has 1 to {MAX_NAME_BYTES} letters, digits, dots, dashes and underscores")


File = Annotated[Path, Parameter("FILE", help="The hub's link.credentials_file.")]
NodeName = Annotated[str, Parameter("NAME", help="The node's node.name.", validator=_check_name)]


@app.command
def add(
    file: File,
    name: NodeName,
    /,
    *,
    role: Annotated[
        Literal["leaf", "hub"], Parameter(help="A leaf sends what its own clients do, a hub what everybody's do.")
    ] = "leaf",
    password_file: Annotated[
        Path | None, Parameter(help="Write the password there, for its owner alone, instead of printing it.")
    ] = None,
) -> None:
    """Give a node a new password of its own, which replaces any other: the mesh's, or one it had.

    It is shown only now: copy it to the node, as its link.password_file. The hub's file is made if it is missing.
    """
    if password_file is None:
        password = make_password()
        replaced = _put(file, name, role, password)
        sys.stdout.write(f"{password}\n")
    else:
        if not write_password(password_file):
            raise StartError(f"{password_file}: has something in it already")
        try:
            replaced = _put(file, name, role, Secret.from_file(password_file).reveal())
        except BaseException:
            password_file.unlink(missing_ok=True)
            raise
    had = "; what it had before counts no longer" if replaced else ""
    # On standard error, so that standard output is the password and nothing else.
    sys.stderr.write(f"{file}: {name} may link as a {role} with its new password{had}\n")


@app.command
def revoke(file: File, name: NodeName, /) -> None:
    """Let no node of that name link any more; a hub that runs ends its link within seconds."""
    from meshtracker.storage.credentials import edit

    known_by_mesh_password = False

    def change(listed: CredentialList | None) -> CredentialList:
        nonlocal known_by_mesh_password
        if listed is None:
            raise StartError(f"{file}: no such file or directory")
        known_by_mesh_password = name not in listed.entries
        return listed.without(name)

    edit(file, change)
    sys.stdout.write(f"{file}: {name} is revoked\n")
    if known_by_mesh_password:
        sys.stderr.write(
            f"meshtracker: {name} had no password of its own: if it knows the mesh password, it can link under"
            " another name until you change that\n"
        )


@app.command(name="list")
def list_nodes(file: File, /) -> None:
    """Who is in the file, and how they may link."""
    from meshtracker.storage.credentials import CredentialsFile

    entries = sorted(CredentialsFile(file).read().entries.items())
    sys.stdout.write("".join(f"{name} {entry.role}\n" for name, entry in entries) or "nobody\n")


def _put(file: Path, name: str, role: Literal["leaf", "hub"], password: str) -> bool:
    """Write the entry; was there another one?"""
    from meshtracker.link.proof.credentials import SALT_BYTES, CredentialList
    from meshtracker.storage.credentials import edit

    replaced = False

    def change(listed: CredentialList | None) -> CredentialList:
        nonlocal replaced
        listed = listed or CredentialList(secrets.token_bytes(SALT_BYTES))
        replaced = name in listed.entries
        return listed.with_password(name, role, password)

    edit(file, change)
    return replaced
