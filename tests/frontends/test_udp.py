"""The UDP front end on a real node, one datagram after the other; rows of client-quirks.md bear their numbers."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.frontends.udp import BAD_CONNECTION_ID, UdpStatistics
from meshtracker.model import SCRAPE_UNKNOWN, Event, ScrapeAnswer
from meshtracker.node.policy import TrackerPolicy
from meshtracker.swarm.access import Access
from meshtracker.wire import udp
from meshtracker.wire.compact import iterate_peers, iterate_peers6
from tests.udp_support import HASH, TRANSACTION, Caller, fuzzed_datagrams, make_frontend, make_node, total

BAD_ID = b"\x01" * 8
NOTHING = UdpStatistics(
    connects=0,
    announces=0,
    scrapes=0,
    errors=0,
    dropped_malformed=0,
    dropped_source=0,
    bad_connection_ids=0,
    throttled=0,
)


def fill(caller: Caller, *, peers: int, left: int = 1000) -> None:
    """Announce ``peers`` clients that share the caller's address."""
    for port in range(2000, 2000 + peers):
        Caller(caller.frontend, host=caller.host, port=port).announce(
            Caller(caller.frontend, host=caller.host, port=port).announce_packet(left=left)
        )


# ------------------------------------------------------------ a client's life


def test_two_clients_find_each_other() -> None:
    frontend = make_frontend()
    seeder = Caller(frontend, host="192.0.2.1")
    leecher = Caller(frontend, host="192.0.2.2", port=6882)
    first = seeder.announce(seeder.announce_packet(left=0))
    assert (first.complete, first.incomplete, first.peers) == (1, 0, b"")
    second = leecher.announce()
    assert (second.complete, second.incomplete) == (1, 1)
    assert list(iterate_peers(second.peers)) == [(seeder.address, 6881)]
    assert 1800 <= second.interval_seconds <= 1860
    assert leecher.scrape(HASH) == [ScrapeAnswer(complete=1, incomplete=1, downloaded=0, downloaders=1)]
    seeder.announce(seeder.announce_packet(left=0, event=Event.STOPPED))
    assert leecher.scrape(HASH) == [ScrapeAnswer(complete=0, incomplete=1, downloaded=0, downloaders=1)]


def test_every_datagram_is_counted_once() -> None:
    frontend = make_frontend(make_node(access=Access("deny", frozenset({bytes(20)}))))
    caller = Caller(frontend)
    assert frontend.statistics() == NOTHING
    announce = caller.announce_packet()
    caller.announce(announce)
    caller.scrape(HASH)
    assert caller.reason(caller.announce_packet(info_hash=bytes(20)))
    assert caller.send(b"") is None
    assert caller.send(announce[:97]) is None
    assert caller.send(caller.announce_packet(connection_id=BAD_ID)) is not None
    assert Caller(frontend, port=0).send(announce) is None
    assert frontend.statistics() == UdpStatistics(
        connects=3,
        announces=1,
        scrapes=1,
        errors=1,
        dropped_malformed=2,
        dropped_source=1,
        bad_connection_ids=1,
        throttled=0,
    )


def test_what_the_node_refuses_is_an_error_with_its_reason() -> None:
    caller = Caller(make_frontend(make_node(access=Access("allow", frozenset()))))
    packet = caller.announce_packet()
    assert "not registered" in caller.reason(packet)
    answer = caller.send(packet)
    assert answer is not None
    assert answer[:8] == b"\0\0\0\3" + TRANSACTION


# ------------------------------------------------------------ nothing for forgers


def test_no_answer_without_a_good_id_is_longer_than_its_request() -> None:
    caller = Caller(make_frontend())
    requests = [
        udp.pack_connect_request(TRANSACTION) + bytes(240),
        caller.announce_packet(connection_id=BAD_ID) + bytes(160),
        udp.pack_scrape_request(BAD_ID, TRANSACTION, info_hashes=[HASH] * 12),
        *(BAD_ID + action.to_bytes(4) + bytes(244) for action in range(6)),
    ]
    for request in requests:
        for length in range(256):
            caller.now += 1000
            answer = caller.send(request[:length])
            assert answer is None or len(answer) <= length


def test_a_bad_id_is_answered_so_that_the_client_connects_again() -> None:
    caller = Caller(make_frontend())
    assert caller.reason(caller.announce_packet(connection_id=BAD_ID)) == BAD_CONNECTION_ID
    scrape = udp.pack_scrape_request(BAD_ID, TRANSACTION, info_hashes=[HASH])
    assert caller.reason(scrape) == BAD_CONNECTION_ID
    assert caller.frontend.statistics().bad_connection_ids == 2


def test_a_source_of_many_bad_ids_is_answered_no_more_for_a_while() -> None:
    frontend = make_frontend()
    caller = Caller(frontend)
    bad = caller.announce_packet(connection_id=BAD_ID)
    answers = [caller.send(bad) for _ in range(20)]
    assert [answer is not None for answer in answers] == [True] * 10 + [False] * 10
    assert (frontend.statistics().bad_connection_ids, frontend.statistics().throttled) == (10, 10)
    assert Caller(frontend, host="192.0.2.9").send(bad) is not None
    caller.now = 120.0
    assert caller.send(bad) is not None


def test_bad_ids_sent_in_its_name_do_not_shut_a_client_out() -> None:
    caller = Caller(make_frontend())
    bad = caller.announce_packet(connection_id=BAD_ID)
    for _ in range(20):
        caller.send(bad)
    assert caller.announce().incomplete == 1


def test_a_connect_needs_the_protocol_id() -> None:
    caller = Caller(make_frontend())
    assert caller.send(bytes(16)) is None
    assert caller.frontend.statistics().dropped_malformed == 1


# ------------------------------------------------------------ every length, any bytes


def test_valid_requests_of_every_length() -> None:
    caller = Caller(make_frontend())
    connection_id = caller.connect()
    announce = caller.announce_packet(connection_id=connection_id) + b"\x02\x05/ab?c" * 23
    scrape = udp.pack_scrape_request(connection_id, TRANSACTION, info_hashes=[HASH] * 12)
    connect = udp.pack_connect_request(TRANSACTION) + bytes(240)
    for length in range(256):
        assert (caller.send(connect[:length]) is not None) is (length >= 16)
        assert (caller.send(announce[:length]) is not None) is (length >= 98)
        answer = caller.send(scrape[:length])
        if length < 16:
            assert answer is None
        else:
            assert answer is not None
            assert answer[:4] == (udp.SCRAPE if length >= 36 else udp.ERROR)


@given(
    data=st.binary(max_size=200),
    tail=st.binary(max_size=100),
    action=st.integers(0, 5) | st.integers(0, 2**32 - 1),
    address=st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    port=st.integers(0, 65_535),
)
def test_arbitrary_bytes(data: bytes, tail: bytes, action: int, address: bytes, port: int) -> None:
    frontend = make_frontend()
    frontend.receive_datagram(data, address, port, 0.0)
    connect = frontend.receive_datagram(udp.pack_connect_request(TRANSACTION), address, port, 0.0)
    sent = 2
    if connect is not None:
        connection_id = udp.parse_connect_answer(connect)
        frontend.receive_datagram(connection_id + action.to_bytes(4) + data + tail, address, port, 0.0)
        sent += 1
    assert total(frontend) == sent


def fuzz(*, count: int, seed: int) -> None:
    """Datagrams from many addresses through a front end; then a client must be served as if nothing had been."""
    rng = random.Random(seed)
    frontend = make_frontend(address_networks=(ip_network("198.51.0.0/16"),))
    sent = 0
    while sent < count:
        host = str(ip_address(rng.randbytes(4) if rng.random() < 0.7 else rng.randbytes(16)))
        fuzzer = Caller(frontend, host=rng.choice([host, "198.51.100.7", "::1", "224.0.0.1"]), now=sent / 100)
        before = total(frontend)
        answer = fuzzer.send(udp.pack_connect_request(TRANSACTION))
        connection_id = udp.parse_connect_answer(answer) if answer is not None else BAD_ID
        for data in fuzzed_datagrams(rng, connection_id, count=100):
            fuzzer.send(data)
        assert total(frontend) == before + 101
        sent += 101
    caller = Caller(frontend, now=sent / 100)
    caller.announce(caller.announce_packet(info_hash=b"afterwards, a client"))
    [counts] = caller.scrape(b"afterwards, a client")
    assert counts.incomplete == 1
    statistics = frontend.statistics()
    assert min(statistics.announces, statistics.scrapes, statistics.errors, statistics.dropped_malformed) > count // 500


def test_fuzzed_datagrams() -> None:
    fuzz(count=5_000, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_many_fuzzed_datagrams(seed: int) -> None:
    fuzz(count=150_000, seed=100 + seed)


# ------------------------------------------------------------ client-quirks.md


def test_quirk_1_event_4_is_a_partial_seed() -> None:
    node = make_node()
    caller = Caller(make_frontend(node))
    assert caller.announce(caller.announce_packet(event=Event.PAUSED)).incomplete == 1
    assert node.scrape([HASH]) == [ScrapeAnswer(complete=0, incomplete=1, downloaded=0, downloaders=0)]


def test_quirk_2_numwant_minus_one_is_the_default() -> None:
    caller = Caller(make_frontend(make_node(policy=TrackerPolicy(numwant_default=7))))
    fill(caller, peers=20)
    answer = caller.announce(caller.announce_packet(numwant=-1))
    assert len(answer.peers) == 7 * 6


def test_quirk_3_numwant_zero_is_no_peers() -> None:
    caller = Caller(make_frontend())
    fill(caller, peers=3)
    assert caller.announce(caller.announce_packet(numwant=0)).peers == b""


@pytest.mark.parametrize(("numwant", "given"), [(5, 5), (12, 12), (200, 12), (2**31 - 1, 12)])
def test_quirk_4_numwant_is_clamped(numwant: int, given: int) -> None:
    caller = Caller(make_frontend(make_node(policy=TrackerPolicy(numwant_max=12))))
    fill(caller, peers=20)
    assert len(caller.announce(caller.announce_packet(numwant=numwant)).peers) == given * 6


@pytest.mark.parametrize(
    ("host", "ip", "listed"),
    [
        ("10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.5", "0.0.0.0", "10.0.0.5"),  # noqa: S104 - nothing is bound
        ("10.0.0.5", "224.0.0.1", "10.0.0.5"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("fd00::5", "203.0.113.9", "fd00::5"),
    ],
)
def test_quirk_7_the_ip_field_is_believed_in_configured_networks_alone(*, host: str, ip: str, listed: str) -> None:
    frontend = make_frontend(address_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    client = Caller(frontend, host=host)
    client.announce(client.announce_packet(ip=ip_address(ip).packed))
    other = Caller(frontend, host="192.0.2.200" if ":" not in host else "2001:db8::200", port=7000)
    answer = other.announce()
    assert [*iterate_peers(answer.peers), *iterate_peers6(answer.peers6)] == [(ip_address(listed).packed, 6881)]


def test_quirk_7_the_ip_field_is_ignored_by_default() -> None:
    frontend = make_frontend()
    client = Caller(frontend, host="127.0.0.1")
    client.announce(client.announce_packet(ip=b"\x01\x02\x03\x04"))
    assert list(iterate_peers(Caller(frontend).announce().peers)) == [(client.address, 6881)]


def test_quirk_11_port_0_is_answered_and_not_stored() -> None:
    frontend = make_frontend()
    caller = Caller(frontend)
    fill(caller, peers=1)
    assert len(caller.announce(caller.announce_packet(port=0)).peers) == 6
    assert caller.scrape(HASH)[0].incomplete == 1


@pytest.mark.parametrize("left", [2**63 - 1, -1])
def test_quirk_12_a_magnet_or_garbled_left_is_a_leecher(left: int) -> None:
    caller = Caller(make_frontend())
    packet = bytearray(caller.announce_packet(left=0))
    packet[64:72] = left.to_bytes(8, signed=True)
    answer = caller.announce(bytes(packet))
    assert (answer.complete, answer.incomplete) == (0, 1)


def test_quirk_19_stopped_from_an_unknown_peer_succeeds() -> None:
    caller = Caller(make_frontend())
    for _ in range(2):
        answer = caller.announce(caller.announce_packet(event=Event.STOPPED))
        assert (answer.complete, answer.incomplete, answer.peers) == (0, 0, b"")


@pytest.mark.parametrize(("age_seconds", "good"), [(0, True), (60, True), (239.9, True), (240, False), (600, False)])
def test_quirk_20_an_id_is_good_for_two_epochs(*, age_seconds: float, good: bool) -> None:
    caller = Caller(make_frontend())
    packet = caller.announce_packet()
    caller.now += age_seconds
    if good:
        caller.announce(packet)
    else:
        assert caller.reason(packet) == BAD_CONNECTION_ID


def test_quirk_20_an_id_is_good_on_other_ports_and_other_nodes() -> None:
    here = Caller(make_frontend())
    there = Caller(make_frontend(make_node(wall_offset_seconds=1_700_000_050.0)), port=50_000, now=15.0)
    stranger = Caller(make_frontend(secret=b"another"))
    packet = here.announce_packet()
    there.announce(packet)
    assert stranger.reason(packet) == BAD_CONNECTION_ID
    assert Caller(here.frontend, host="192.0.2.2").reason(packet) == BAD_CONNECTION_ID


@pytest.mark.parametrize(
    "tail", [b"", b"\x02\x09/announce", b"\x02\xff" + b"/" * 255, b"\x63\x04????\x01\x00", b"\x02"]
)
def test_quirk_21_an_announce_with_or_without_options(tail: bytes) -> None:
    caller = Caller(make_frontend())
    packet = caller.announce_packet()
    assert len(packet) == 98
    assert caller.announce(packet + tail).incomplete == 1


def test_quirk_22_peers_over_ipv6_are_18_bytes() -> None:
    frontend = make_frontend()
    first, second = (Caller(frontend, host=f"2001:db8::{host}") for host in (1, 2))
    Caller(frontend).announce()
    assert len(first.announce_packet()) == 98
    first.announce(first.announce_packet(ip=b"\x01\x02\x03\x04"))
    packet = second.announce_packet()
    answer = second.send(packet)
    assert answer is not None
    assert answer[20:] == first.address + (6881).to_bytes(2)


def test_quirk_23_a_scrape_is_positional_and_duplicates_count_twice() -> None:
    frontend = make_frontend()
    caller = Caller(frontend)
    other = b"another swarm's hash"
    fill(caller, peers=2)
    caller.announce(caller.announce_packet(info_hash=other, left=0))
    two = ScrapeAnswer(complete=0, incomplete=2, downloaded=0, downloaders=2)
    one = ScrapeAnswer(complete=1, incomplete=0, downloaded=0, downloaders=0)
    assert caller.scrape(other, HASH, bytes(20), other, HASH) == [one, two, SCRAPE_UNKNOWN, one, two]


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("192.0.2.1", 0),
        ("224.0.0.1", 6881),
        ("255.255.255.255", 6881),
        ("0.0.0.0", 6881),  # noqa: S104 - nothing is bound
        ("ff02::1", 6881),
        ("::", 6881),
    ],
)
def test_quirk_24_sources_that_cannot_be_answered_are_dropped(host: str, port: int) -> None:
    caller = Caller(make_frontend(), host=host, port=port)
    assert caller.send(udp.pack_connect_request(TRANSACTION)) is None
    assert caller.frontend.statistics().dropped_source == 1


def test_quirk_25_a_scrape_of_74_and_no_more() -> None:
    caller = Caller(make_frontend())
    assert caller.scrape(*[HASH] * 74) == [SCRAPE_UNKNOWN] * 74
    too_many = udp.pack_scrape_request(caller.connect(), TRANSACTION, info_hashes=[HASH] * 75)
    assert "Bad Request" in caller.reason(too_many)


def test_quirk_26_a_scrape_without_a_hash_is_refused() -> None:
    caller = Caller(make_frontend())
    assert caller.reason(udp.pack_scrape_request(caller.connect(), TRANSACTION, info_hashes=[]))
