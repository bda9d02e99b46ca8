"""``meshtracker credential``, and what a hub makes of the file."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest

from meshtracker.cli import main
from meshtracker.errors import LinkError
from meshtracker.link.proof.authentication import Credential, Prover, Verifier
from meshtracker.settings import Secret
from meshtracker.storage.credentials import CredentialsFile


def lets_in(file: Path, name: str, password: str, *, role: str = "leaf") -> bool:
    """Does a hub with this file, and with a mesh password, let a node link that knows this one?"""
    verifier = Verifier(Credential("the mesh password", CredentialsFile(file).read()), binding=None)
    prover = Prover(Credential(password), name=name, binding=None)
    with contextlib.suppress(LinkError):
        prover.verify(verifier.final(prover.proof(verifier.challenge(prover.first()))))
        verifier.vouch_for(name, forwards=role == "hub")
        return True
    return False


def test_a_password_is_printed_once_and_nothing_else_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "credentials"
    assert main(["credential", "add", str(file), "leaf-a"]) == 0
    said = capsys.readouterr()
    password = said.out.removesuffix("\n")
    assert Secret(password)
    assert said.err == f"{file}: leaf-a may link as a leaf with its new password\n"
    assert password not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert lets_in(file, "leaf-a", password)
    assert not lets_in(file, "leaf-a", password, role="hub")
    assert not lets_in(file, "leaf-a", "the mesh password")
    assert lets_in(file, "leaf-b", "the mesh password")


def test_a_password_is_put_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, password_file = tmp_path / "credentials", tmp_path / "deep" / "password"
    assert main(["credential", "add", str(file), "hub-b", "--role", "hub", "--password-file", str(password_file)]) == 0
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    assert lets_in(file, "hub-b", Secret.from_file(password_file).reveal(), role="hub")


def test_a_password_file_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, password_file = tmp_path / "credentials", tmp_path / "password"
    password_file.write_text("mine\n")
    assert main(["credential", "add", str(file), "leaf-a", "--password-file", str(password_file)]) == 1
    assert capsys.readouterr().err == f"meshtracker: {password_file}: has something in it already\n"
    assert password_file.read_text() == "mine\n"
    assert not file.exists()


def test_no_password_is_left_of_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, password_file = tmp_path / "credentials", tmp_path / "password"
    file.write_text("nonsense\n")
    assert main(["credential", "add", str(file), "leaf-a", "--password-file", str(password_file)]) == 1
    assert f"meshtracker: {file}: line 1: expected" in capsys.readouterr().err
    assert not password_file.exists()
    assert main(["credential", "add", str(file), "leaf-a"]) == 1
    assert capsys.readouterr().out == ""
    assert file.read_text() == "nonsense\n"


def test_a_second_password_replaces_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "credentials"
    passwords = []
    for _ in range(2):
        assert main(["credential", "add", str(file), "leaf-a"]) == 0
        said = capsys.readouterr()
        passwords.append(said.out.strip())
    assert said.err.endswith("; what it had before counts no longer\n")
    assert [lets_in(file, "leaf-a", password) for password in passwords] == [False, True]


def test_a_revoked_node_is_let_in_by_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "credentials"
    passwords = {}
    for name in ("leaf-a", "leaf-b"):
        main(["credential", "add", str(file), name])
        passwords[name] = capsys.readouterr().out.strip()
    assert main(["credential", "revoke", str(file), "leaf-a"]) == 0
    assert capsys.readouterr() == (f"{file}: leaf-a is revoked\n", "")
    assert not lets_in(file, "leaf-a", passwords["leaf-a"])
    assert not lets_in(file, "leaf-a", "the mesh password")
    assert lets_in(file, "leaf-b", passwords["leaf-b"])


def test_revoking_a_name_does_not_take_the_mesh_password_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "credentials"
    main(["credential", "add", str(file), "leaf-a"])
    capsys.readouterr()
    assert main(["credential", "revoke", str(file), "leaf-z"]) == 0
    assert "it can link under another name until you change that" in capsys.readouterr().err
    assert not lets_in(file, "leaf-z", "the mesh password")


def test_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "credentials"
    for words in (["add", "leaf-b"], ["add", "hub-a", "--role", "hub"], ["revoke", "leaf-c"]):
        main(["credential", words[0], str(file), *words[1:]])
    capsys.readouterr()
    assert main(["credential", "list", str(file)]) == 0
    assert capsys.readouterr().out == "hub-a hub\nleaf-b leaf\nleaf-c revoked\n"


@pytest.mark.parametrize("command", ["revoke", "list"])
def test_only_add_makes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    file = tmp_path / "credentials"
    assert main(["credential", command, str(file), *(["leaf-a"] if command == "revoke" else [])]) == 1
    assert capsys.readouterr().err == f"meshtracker: {file}: no such file or directory\n"
    assert not file.exists()


@pytest.mark.parametrize("words", [["add", "bad/name"], ["add", "x" * 65], ["add", "a", "--role", "root"], ["revoke"]])
def test_a_command_line_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["credential", words[0], str(tmp_path / "credentials"), *words[1:]])
    assert exit_.value.code == 2
    assert not (tmp_path / "credentials").exists()
