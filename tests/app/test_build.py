"""What of a machine can be wrong is said before anything starts."""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
from structlog.testing import capture_logs

from meshtracker.admin.tokens import Tokens, read_control_token
from meshtracker.app import build
from meshtracker.errors import StartError
from meshtracker.link.proof.credentials import CredentialList
from meshtracker.network.tls import make_certificate, own_certificate
from meshtracker.settings import RemoteAddress, Secret, Settings, UnixAddress, default, load
from meshtracker.storage.credentials import CredentialsFile, edit

TODAY = datetime(2026, 1, 1, tzinfo=UTC)


def with_tracker(**values: Any) -> Settings:
    """Default settings but for some of [tracker]."""
    return attrs.evolve(default(), tracker=attrs.evolve(default().tracker, **values))


def with_link(**values: Any) -> Settings:
    """Default settings but for some of [link]."""
    return attrs.evolve(default(), link=attrs.evolve(default().link, **values))


def with_state(state_dir: Path | None) -> Settings:
    """Default settings with a place for files."""
    return attrs.evolve(default(), node=attrs.evolve(default().node, state_dir=state_dir))


def test_a_name_is_made_of_the_host_name() -> None:
    name = build.node_name(default())
    assert name
    assert all(c.isalnum() or c in "._-" for c in name)
    assert build.node_name(attrs.evolve(default(), node=attrs.evolve(default().node, name="leaf-a"))) == "leaf-a"


def test_the_state_directory_is_made(tmp_path: Path) -> None:
    assert build.prepare_state_dir(with_state(None)) is None
    wanted = tmp_path / "a" / "b"
    assert build.prepare_state_dir(with_state(wanted)) == wanted
    assert list(wanted.iterdir()) == []


def test_a_state_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"node\.state_dir .*file/below: Not a directory"):
        build.prepare_state_dir(with_state(tmp_path / "file" / "below"))


def test_secrets_that_everybody_can_read_are_named(tmp_path: Path) -> None:
    structlog.reset_defaults()
    password, config = tmp_path / "password", tmp_path / "node.toml"
    credentials = tmp_path / "credentials"
    password.write_text("a mesh password of the tests\n")
    config.write_text(f'[node]\nstate_dir = "{tmp_path}"\n[link]\npassword_file = "{password}"\n')
    config.write_text(f'{config.read_text()}credentials_file = "{credentials}"\nlisten = ["127.0.0.1:1"]\n')
    edit(credentials, lambda _: CredentialList(b"0123456789abcdef"))
    config.write_text(config.read_text() + '[admin]\nread_token = "correct horse battery staple"\n')
    for mode, named in ((0o604, [str(credentials), str(config), str(password)]), (0o640, [])):
        credentials.chmod(mode)
        password.chmod(mode)
        config.chmod(mode)
        with capture_logs() as entries:
            build.warn_of_loose_files(load(config, {}))
        assert [entry["file"] for entry in entries] == named
    tmp_path.chmod(0o707)
    with capture_logs() as entries:
        build.warn_of_loose_files(load(config, {}))
    assert [entry["directory"] for entry in entries] == [str(tmp_path)]


def test_the_access_list_is_read(tmp_path: Path) -> None:
    listed = tmp_path / "torrents"
    listed.write_text("# ours\n" + "ab" * 20 + "\n")
    access = build.read_access(with_tracker(access="allow", access_file=listed))
    assert access.allows(b"\xab" * 20)
    assert not access.allows(b"\xac" * 20)
    assert build.read_access(default()).allows(b"\xac" * 20)


def test_a_bad_line_of_the_access_list_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "torrents"
    listed.write_text("ab" * 20 + "\nnonsense\n")
    with pytest.raises(StartError, match=r"tracker\.access_file .*torrents: line 2"):
        build.read_access(with_tracker(access="deny", access_file=listed))
    with pytest.raises(StartError, match=r"tracker\.access_file .*No such file"):
        build.read_access(with_tracker(access="deny", access_file=tmp_path / "missing"))


async def test_each_start_begins_a_stream_with_64_bits_of_its_own() -> None:
    streams = [build.build_node(default(), access=build.read_access(default())).mesh.own for _ in range(50)]
    assert len({stream.name for stream in streams}) == 1
    assert len({stream.incarnation for stream in streams}) == 50
    assert 1 << 60 < max(stream.incarnation for stream in streams) < 1 << 64


async def test_a_node_of_its_own_keeps_no_log() -> None:
    node = build.build_node(default(), access=build.read_access(default()))
    node.mesh.flush(1.0)
    assert node.mesh.logs.statistics(1.0).bytes == 0


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    structlog.reset_defaults()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, limits[1]))
        few = attrs.evolve(default(), http=attrs.evolve(default().http, max_connections=100))
        assert build.raise_file_limit(few) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(612, limits[1])
        with capture_logs() as entries:
            many = attrs.evolve(default().http, max_connections=1_000_000_000)
            # The rest is for links and snapshots.
            assert build.raise_file_limit(attrs.evolve(default(), http=many)) == limits[1] - 512
        assert [entry["limit"] for entry in entries] == [limits[1]]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_tls_off_makes_no_contexts() -> None:
    assert build.link_tls(with_link(tls="off")) == build.LinkTls(None, None)
    assert build.link_tls(default()) == build.LinkTls(None, None)


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    listen = (default().http.listen[0],)
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(StartError, match=r"link\.certificate_file .*empty\.pem"):
        build.link_tls(with_link(listen=listen, certificate_file=empty, key_file=empty))
    with pytest.raises(StartError, match=r"link\.ca_file .*missing\.pem"):
        build.link_tls(with_link(hubs=(RemoteAddress.parse("hub:1"),), ca_file=tmp_path / "missing.pem"))


def test_a_certificate_of_the_operator_is_taken(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "hub", TODAY)
    made = build.link_tls(with_link(listen=(default().http.listen[0],), certificate_file=certificate, key_file=key))
    assert made.listener is not None
    assert make_certificate("hub", TODAY)[0] != certificate.read_bytes()


def test_a_node_of_its_own_has_no_credential() -> None:
    assert build.credentials_file(default()) is None
    assert build.read_credential(default(), None) is None


def test_who_may_link_is_read(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    edit(path, lambda _: CredentialList(b"0123456789abcdef").without("gone"))
    settings = with_link(credentials_file=path)
    credential = build.read_credential(settings, build.credentials_file(settings))
    assert credential is not None
    assert credential.password is None
    assert credential.entry("gone") is not None


def test_a_damaged_list_of_those_who_may_link_is_named(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with pytest.raises(StartError, match=r"^link\.credentials_file .*/credentials: no such file"):
        build.read_credential(default(), CredentialsFile(path))
    edit(path, lambda _: CredentialList(b"0123456789abcdef"))
    path.write_text(path.read_text() + "nonsense\n")
    with pytest.raises(StartError, match=r"^link\.credentials_file .*/credentials: line 4: something follows"):
        build.read_credential(default(), CredentialsFile(path))


def test_a_password_that_cannot_be_proven_is_named() -> None:
    settings = with_link(password=Secret("correct horse \N{HORSE FACE}"))
    with pytest.raises(StartError, match=r"^link\.password: the password has characters"):
        build.read_credential(settings, None)


def with_admin(state_dir: Path | None, **values: Any) -> Settings:
    """Default settings but for some of [admin], with or without a place for files."""
    settings = with_state(state_dir)
    return attrs.evolve(settings, admin=attrs.evolve(settings.admin, **values))


def test_a_node_makes_itself_a_token_for_commands_where_it_needs_one(tmp_path: Path) -> None:
    tokens = build.admin_tokens(with_admin(tmp_path))
    assert tokens.own_control
    assert tokens == Tokens(own_control=read_control_token(tmp_path))
    assert build.admin_tokens(with_admin(tmp_path)).own_control != tokens.own_control


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        ({"control_token": Secret("correct horse")}, Tokens(control="correct horse")),
        ({"listen": ()}, Tokens()),
        (
            {"listen": (UnixAddress("/run/admin.sock"),), "read_token": Secret("battery staple")},
            Tokens(read="battery staple"),
        ),
    ],
)
def test_and_none_where_it_does_not(tmp_path: Path, values: dict[str, Any], tokens: Tokens) -> None:
    assert build.admin_tokens(with_admin(tmp_path, **values)) == tokens
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_files_there_is_no_own_token() -> None:
    assert build.admin_tokens(with_admin(None)) == Tokens()


@pytest.mark.parametrize(("mode", "dialers"), [("mirror", 2), ("failover", 1)])
async def test_hubs_are_dialled_each_by_itself_or_one_in_place_of_another(mode: str, dialers: int) -> None:
    hubs = (RemoteAddress("one.example.org", 59100), RemoteAddress("two.example.org", 59100))
    settings = with_link(hubs=hubs, hub_mode=mode, password=Secret("a mesh password of the tests"))
    node = build.build_node(settings, access=build.read_access(settings))
    links = build.build_links(settings, node, build.read_credential(settings, None))
    tls = build.link_tls(settings)
    assert len(build.build_dialers(settings, links, tls)) == dialers
    assert build.build_listener(settings, links, tls) is None
    assert build.build_dialers(default(), None, tls) == ()
