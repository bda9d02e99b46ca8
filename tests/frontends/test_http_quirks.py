"""The HTTP front end and what real clients send: client-quirks, by row."""

from __future__ import annotations

import pytest

from meshtracker.model import SCRAPE_UNKNOWN, ScrapeAnswer
from meshtracker.node.policy import TrackerPolicy
from meshtracker.wire.compact import packed_address
from meshtracker.wire.http_answer import MAX_ANSWER_BYTES
from tests.frontends.http_answers import LOCAL, decode, fill, peers_of, seen_by_another
from tests.http_support import HASH, Caller, announce_target, drain, escape, make_frontend, request
from tests.udp_support import make_node


def test_quirk_1_paused_is_a_partial_seed() -> None:
    answer = Caller(make_frontend()).announce(event=b"paused", left=5)
    assert (answer.complete, answer.incomplete, answer.downloaders) == (0, 1, 0)


@pytest.mark.parametrize("numwant", [-1, None, b"", b"many", b"-200"])
def test_quirk_2_numwant_minus_one_is_the_default(numwant: bytes | int | None) -> None:
    caller = Caller(make_frontend(make_node(policy=TrackerPolicy(numwant_default=5))))
    fill(caller, 20)
    assert len(peers_of(caller, numwant=numwant)) == 5


def test_quirk_3_numwant_0_is_no_peers() -> None:
    caller = Caller(make_frontend())
    fill(caller, 20)
    answer = caller.announce(numwant=0)
    assert (answer.peers, answer.incomplete) == (b"", 21)


@pytest.mark.parametrize(("numwant", "peers"), [(None, 50), (80, 80), (200, 100), (2**40, 100)])
def test_quirk_4_numwant_is_clamped(numwant: int | None, peers: int) -> None:
    caller = Caller(make_frontend(make_node(policy=TrackerPolicy(numwant_default=50, numwant_max=100))))
    fill(caller, 120)
    assert len(peers_of(caller, numwant=numwant)) == peers


def test_quirk_5_compact_unless_dictionaries_are_asked_for() -> None:
    frontend = make_frontend()
    caller, six = Caller(frontend), Caller(frontend, host="2001:db8::1")
    caller.announce(peer_id=b"4" * 20)
    six.announce(peer_id=b"6" * 20)
    for compact in (None, 1, b""):
        assert isinstance(decode(caller.get(announce_target(port=7, compact=compact)).body)[b"peers"], bytes)
    answer = decode(caller.get(announce_target(port=7, compact=0)).body)
    assert b"peers6" not in answer
    assert answer[b"peers"] == [
        {b"ip": b"192.0.2.1", b"peer id": b"4" * 20, b"port": 6881},
        {b"ip": b"2001:db8::1", b"peer id": b"6" * 20, b"port": 6881},
    ]
    answer = decode(caller.get(announce_target(port=7, compact=0, no_peer_id=1)).body)
    assert answer[b"peers"] == [{b"ip": b"192.0.2.1", b"port": 6881}, {b"ip": b"2001:db8::1", b"port": 6881}]


def test_quirk_6_no_peer_id_with_compact_is_ignored() -> None:
    caller = Caller(make_frontend())
    fill(caller, 1)
    assert peers_of(caller, compact=1, no_peer_id=1) == {(caller.address, 2000)}


@pytest.mark.parametrize(
    ("host", "ip", "address"),
    [
        ("192.0.2.1", b"198.51.100.9", "192.0.2.1"),
        ("192.0.2.1", b"2001:db8::9", "192.0.2.1"),
        ("127.0.0.1", b"198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", b"2001:db8::9", "2001:db8::9"),
        ("::1", b"198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", b"tracker.example.org", "127.0.0.1"),
        ("127.0.0.1", b"ukeu3k5oycga.b32.i2p", "127.0.0.1"),
    ],
)
def test_quirk_7_ip_is_believed_only_of_configured_networks(host: str, ip: bytes, address: str) -> None:
    frontend = make_frontend(address_networks=LOCAL)
    Caller(frontend, host=host).announce(ip=ip)
    assert seen_by_another(Caller(frontend)) == {(packed_address(address), 6881)}


def test_quirk_8_a_key_twice_is_tolerated_but_not_the_info_hash() -> None:
    caller = Caller(make_frontend())
    target = announce_target() + b"&ipv6=2001:db8::1&ipv6=2001:db8::2&ip=192.0.2.4&ip=192.0.2.5"
    assert caller.announce(target).incomplete == 1
    assert "one info_hash" in caller.reason(announce_target() + b"&info_hash=" + b"h" * 20)


def test_quirk_9_a_client_that_announces_in_each_family_is_one() -> None:
    frontend = make_frontend()
    extra = b"&key=5A5A5A5A&ipv4=192.0.2.1&ipv6=2001:db8::1"
    Caller(frontend).announce(announce_target() + extra)
    answer = Caller(frontend, host="2001:db8::1").announce(announce_target() + extra)
    assert answer.incomplete == 1
    assert (answer.peers, answer.peers6) == (b"", b"")


@pytest.mark.parametrize("key", [b"7F3A00B1", b"7f3a00b1", b"-1234567", b"%01%fe%20%26", b"\x01\xfe"])
def test_quirk_10_a_peer_may_move_with_its_key(key: bytes) -> None:
    frontend = make_frontend()
    Caller(frontend).announce(key=key)
    moved = Caller(frontend, host="198.51.100.1")
    assert moved.announce(key=key, port=7000).incomplete == 1
    assert seen_by_another(Caller(frontend)) == {(moved.address, 7000)}


@pytest.mark.parametrize("port", [0, None, b"", 70_000])
def test_quirk_11_no_port_is_no_peer_but_stop_works(port: bytes | int | None) -> None:
    caller = Caller(make_frontend())
    fill(caller, 1)
    assert peers_of(caller, port=port, cryptoport=6881) == {(caller.address, 2000)}
    assert caller.scrape(HASH)[0].incomplete == 1
    caller.announce(key=5, port=6881)
    assert caller.announce(key=5, port=port, event=b"stopped").incomplete == 1


@pytest.mark.parametrize("left", [2**63 - 1, 2**63, None, b"", b"-1", b"lots"])
def test_quirk_12_unknown_left_is_a_leecher(left: bytes | int | None) -> None:
    answer = Caller(make_frontend()).announce(left=left)
    assert (answer.complete, answer.incomplete) == (0, 1)


@pytest.mark.parametrize(
    "info_hash",
    [
        b"".join(b"%%%02x" % byte for byte in HASH),
        b"".join(b"%%%02X" % byte for byte in HASH),
        b"".join((b"%%%02x", b"%%%02X")[place % 2] % byte for place, byte in enumerate(HASH)),
        HASH,
    ],
)
def test_quirk_13_any_escapes(info_hash: bytes) -> None:
    caller = Caller(make_frontend())
    caller.announce(info_hash=info_hash)
    assert caller.scrape(HASH)[0].incomplete == 1


def test_quirk_13_a_plus_stays_a_plus() -> None:
    caller = Caller(make_frontend())
    caller.announce(info_hash=b"+" * 20)
    assert caller.scrape(b"+" * 20, b" " * 20) == [ScrapeAnswer(0, 1, 0, 1), SCRAPE_UNKNOWN]


def test_quirk_14_space_in_request_line() -> None:
    target = announce_target().replace(b"/announce?", b"/announce ?")
    assert Caller(make_frontend()).announce(target).incomplete == 1


def test_quirk_14_raw_high_bytes_in_request_line() -> None:
    caller = Caller(make_frontend())
    caller.announce(info_hash=bytes(range(0x80, 0x94)), peer_id=b"a b c \xff\xfe HTTP/1.1\x00\xc3(")
    assert caller.scrape(bytes(range(0x80, 0x94)))[0].incomplete == 1


def test_quirk_15_second_question_mark_and_parameter_without_value() -> None:
    caller = Caller(make_frontend())
    caller.announce(b"/announce?passkey=abc&x?" + announce_target().partition(b"?")[2] + b"&y&&=&")
    assert caller.announce(announce_target() + b"?z=1").incomplete == 1
    assert caller.scrape(HASH)[0].incomplete == 1


def test_quirk_16_other_parameters_are_ignored() -> None:
    target = announce_target() + (
        b"&trackerid=x&azver=3&azq=1&supportcrypto=1&requirecrypto=1&corrupt=0&redundant=0&azudp=6881&azhttp=80"
        b"&\xff\xfe=\xfd&%=%"
    )
    assert Caller(make_frontend()).announce(target).incomplete == 1


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_quirk_17_any_http_and_never_gzip(version: bytes) -> None:
    caller = Caller(make_frontend())
    response = caller.send(b"GET %b %b\r\nAccept-Encoding: gzip\r\n\r\n" % (announce_target(), version))
    assert b"interval" in response.body


@pytest.mark.parametrize(("target", "status"), [(announce_target(), b"200"), (b"/nowhere", b"404")])
def test_quirk_17_head_is_answered_and_changes_nothing(target: bytes, status: bytes) -> None:
    caller = Caller(make_frontend())
    data = drain(caller.connect(), request(target, method=b"HEAD"))
    assert data.startswith(b"HTTP/1.1 " + status)
    assert data.endswith(b"\r\n\r\n")
    assert caller.scrape(HASH) == [SCRAPE_UNKNOWN]


@pytest.mark.parametrize(
    "target", [b"/announce", announce_target(info_hash=b"short"), announce_target(peer_id=b""), b"/scrape"]
)
def test_quirk_18_protocol_errors_are_status_200(target: bytes) -> None:
    response = Caller(make_frontend()).get(target)
    answer = decode(response.body)
    assert response.status == 200
    assert answer.keys() == {b"failure reason", b"interval", b"min interval"}


def test_quirk_19_stopped_from_an_unknown_peer() -> None:
    caller = Caller(make_frontend())
    for _ in range(2):
        assert caller.announce(event=b"stopped").incomplete == 0


def test_quirk_25_scrapes_of_many_hashes() -> None:
    caller = Caller(make_frontend(max_scrape_hashes=64))
    info_hashes = [bytes([number]) * 20 for number in range(100)]
    assert caller.scrape(*info_hashes[:64]) == [SCRAPE_UNKNOWN] * 64
    query = b"&".join(b"info_hash=" + escape(info_hash) for info_hash in info_hashes[:65])
    assert "Request-URI Too Long" in caller.reason(b"/scrape?" + query)
    assert caller.get(b"/scrape?" + query * 3).reason == "Request-URI Too Long"


def test_quirk_26_scrape_of_everything_is_refused_by_default() -> None:
    assert "not allowed" in Caller(make_frontend()).reason(b"/scrape")


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_quirk_26_scrape_of_everything_is_streamed(version: bytes) -> None:
    caller = Caller(make_frontend(full_scrape=True))
    info_hashes = [number.to_bytes(20) for number in range(1200)]
    for info_hash in info_hashes:
        caller.announce(info_hash=escape(info_hash))
    connection = caller.connect()
    piece = connection.receive_data(request(b"/scrape", b"Connection: keep-alive", version=version), 0.0)
    pieces = []
    while piece:
        pieces.append(piece)
        piece = connection.resume(0.0)
    assert connection.should_close
    assert not connection.has_more
    assert len(pieces) >= 3
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert len(body) < MAX_ANSWER_BYTES
    assert sorted(decode(body)[b"files"]) == info_hashes  # type: ignore[call-overload]  # a dictionary, as its keys show


def test_quirk_28_the_whole_hash_of_a_v2_torrent_is_explained() -> None:
    caller = Caller(make_frontend())
    for target in (announce_target(info_hash=b"h" * 32), b"/scrape?info_hash=" + escape(bytes(32))):
        assert "first 20 bytes (BEP 52)" in caller.reason(target)


def test_quirk_29_mapped_addresses_are_ipv4() -> None:
    frontend = make_frontend(address_networks=LOCAL, trusted_proxies=LOCAL)
    local = Caller(frontend, host="127.0.0.1")
    local.announce(ip=b"::ffff:198.51.100.9")
    local.announce(announce_target(peer_id=b"f" * 20), b"X-Forwarded-For: ::ffff:198.51.100.8")
    assert seen_by_another(Caller(frontend)) == {
        (packed_address("198.51.100.8"), 6881),
        (packed_address("198.51.100.9"), 6881),
    }
