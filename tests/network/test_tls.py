"""Certificates of the link."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from meshtracker.errors import StartError
from meshtracker.network import tls

TODAY = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_certificate_is_made_once_and_only_we_can_read_its_key(tmp_path: Path) -> None:
    first = tls.own_certificate(tmp_path, "hub", TODAY)
    content = [path.read_bytes() for path in first]
    assert tls.own_certificate(tmp_path, "hub", TODAY) == first
    assert [path.read_bytes() for path in first] == content
    for path in first:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.new"))


def test_a_write_that_was_cut_short_is_made_good(tmp_path: Path) -> None:
    (tmp_path / tls.KEY_FILE).with_suffix(".new").write_text("half a k")
    certificate, key = tls.own_certificate(tmp_path, "hub", TODAY)
    tls.server_context(certificate, key)


def test_the_binding_covers_the_first_certificate_of_a_chain(tmp_path: Path) -> None:
    certificate, key = tls.own_certificate(tmp_path, "hub", TODAY)
    authority, _ = tls.make_certificate("an authority", TODAY)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"# words before it\n" + certificate.read_bytes() + authority)
    _, der = tls.server_context(chain, key)
    assert der == ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert x509.load_der_x509_certificate(der).subject.rfc4514_string() == "CN=hub"


def test_only_tls_1_3(tmp_path: Path) -> None:
    server, _ = tls.unsaved_server_context("hub", TODAY)
    assert server.minimum_version == tls.client_context(None).minimum_version == ssl.TLSVersion.TLSv1_3


def test_an_authority_makes_the_name_count_too(tmp_path: Path) -> None:
    certificate, _ = tls.own_certificate(tmp_path, "hub", TODAY)
    context = tls.client_context(certificate)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    certificate, key = tls.own_certificate(tmp_path, "hub", TODAY)
    with pytest.raises(StartError, match=r"not a certificate and its key"):
        tls.server_context(key, key)
    with pytest.raises(StartError, match=r"link\.certificate_file .*missing: No such file or directory"):
        tls.server_context(certificate, tmp_path / "missing")
    with pytest.raises(StartError, match=r"link\.ca_file .*link-key.pem: no certificates in it"):
        tls.client_context(key)
    with pytest.raises(StartError, match=r"link\.ca_file .*missing: No such file or directory"):
        tls.client_context(tmp_path / "missing")
    with pytest.raises(StartError, match=r"node\.state_dir"):
        tls.own_certificate(tmp_path / "missing", "hub", TODAY)
