"""The HTTP front end on a real node: what clients get, also behind a proxy."""

from __future__ import annotations

import bencodepy
import pytest

from meshtracker.frontends.http import MAX_FULL_SCRAPES, HttpStatistics
from meshtracker.model import SCRAPE_UNKNOWN, ScrapeAnswer
from meshtracker.swarm.access import Access
from meshtracker.wire.compact import iterate_peers, packed_address
from tests.frontends.http_answers import LOCAL, decode, fill, peers_of, seen_by_another
from tests.http_support import HASH, PEER_ID, Caller, announce_target, drain, make_frontend, request
from tests.udp_support import make_node

# ---------------------------------------------------------------- what a client gets


def test_a_client_gets_the_others_and_the_counts() -> None:
    caller = Caller(make_frontend())
    fill(caller, 2)
    caller.announce(peer_id=b"a seeder of 20 bytes", port=3000, left=0)
    answer = caller.announce(event=b"started")
    address = caller.address
    assert set(iterate_peers(answer.peers)) == {(address, 2000), (address, 2001), (address, 3000)}
    assert (answer.complete, answer.incomplete, answer.downloaders, answer.downloaded) == (1, 3, 3, 0)
    assert answer.interval_seconds >= 1800
    assert answer.min_interval_seconds == 900


def test_both_families_are_given_to_both() -> None:
    frontend = make_frontend()
    four, six = Caller(frontend), Caller(frontend, host="2001:db8::1")
    four.announce(peer_id=b"4" * 20)
    assert peers_of(six, peer_id=b"6" * 20) == {(four.address, 6881)}
    assert peers_of(four, peer_id=b"4" * 20) == {(six.address, 6881)}


def test_a_client_is_told_its_address() -> None:
    frontend = make_frontend(address_networks=LOCAL)
    for host in ("192.0.2.1", "2001:db8::1", "127.0.0.1"):
        caller = Caller(frontend, host=host)
        body = caller.get(announce_target(ip=b"198.51.100.1")).body
        assert decode(body)[b"external ip"] == caller.address


def test_responses_are_plain_http() -> None:
    data = drain(Caller(make_frontend()).connect(), request(b"/health"))
    assert data == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nok\n"
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/", 200), (b"/health", 200), (b"/nowhere", 404), (b"/announcement", 404), (b"/secret/announce", 404)],
)
def test_other_paths(target: bytes, status: int) -> None:
    response = Caller(make_frontend()).get(target)
    assert response.status == status
    assert response.body


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"OPTIONS", b"get", b"CONNECT"])
def test_other_methods(method: bytes) -> None:
    caller = Caller(make_frontend())
    assert caller.send(request(announce_target(), method=method)).status == 405
    assert caller.scrape(HASH) == [SCRAPE_UNKNOWN]


def test_scrape() -> None:
    caller = Caller(make_frontend())
    fill(caller, 3)
    caller.announce(left=0, event=b"completed")
    caller.announce(peer_id=b"p" * 20, port=1, left=5, event=b"paused")
    counts = ScrapeAnswer(complete=1, incomplete=4, downloaded=1, downloaders=3)
    assert caller.scrape(b"u" * 20, HASH, HASH) == [SCRAPE_UNKNOWN, counts, counts]


def test_scrape_answers_are_canonical_in_whatever_order_was_asked() -> None:
    caller = Caller(make_frontend())
    target = b"/scrape/?info_hash=%b&info_hash=%b&info_hash=%b" % (b"z" * 20, b"a" * 20, b"z" * 20)
    body = caller.get(target).body
    assert bencodepy.Bencode().encode(decode(body)) == body
    assert decode(body)[b"flags"] == {b"min_request_interval": 900}


def test_a_refused_torrent_says_when_to_ask_again() -> None:
    node = make_node(access=Access(mode="deny", info_hashes=frozenset([HASH])))
    answer = decode(Caller(make_frontend(node)).get(announce_target()).body)
    assert answer.keys() == {b"failure reason", b"interval", b"min interval", b"retry in"}
    assert answer[b"retry in"] == 60


def test_every_request_is_counted_once() -> None:
    frontend = make_frontend()
    caller = Caller(frontend)
    caller.announce()
    caller.scrape(HASH)
    caller.get(b"/announce")
    caller.get(b"/scrape")
    caller.get(b"/health")
    caller.send(request(b"/", method=b"HEAD"))
    caller.get(b"/nowhere")
    caller.send(b"nonsense\r\n\r\n")
    assert frontend.statistics() == HttpStatistics(announces=1, scrapes=1, failures=2, others=2, refused=2)


def test_only_so_many_scrapes_of_everything_go_on_at_once() -> None:
    caller = Caller(make_frontend(full_scrape=True))
    connections = [caller.connect() for _ in range(MAX_FULL_SCRAPES)]
    for connection in connections:
        assert connection.receive_data(request(b"/scrape"), 0.0)
    assert "too many" in caller.reason(b"/scrape")
    # One reads to its end, another hangs up.
    while connections[0].has_more:
        connections[0].resume(0.0)
    connections.pop()
    del connection
    for _ in range(2):
        assert b"files" in drain(caller.connect(), request(b"/scrape"))


def test_a_peer_id_may_hold_any_bytes() -> None:
    caller = Caller(make_frontend())
    caller.announce()
    peers = decode(caller.get(announce_target(peer_id=b"o" * 20, port=7, compact=0)).body)[b"peers"]
    assert peers == [{b"ip": b"192.0.2.1", b"peer id": PEER_ID, b"port": 6881}]


# ---------------------------------------------------------------- behind a proxy


def test_a_trusted_proxy_says_who_asks() -> None:
    frontend = make_frontend(trusted_proxies=LOCAL)
    Caller(frontend, host="127.0.0.1").announce(announce_target(), b"X-Forwarded-For: 203.0.113.5, 198.51.100.7")
    Caller(frontend, host="127.0.0.1").announce(announce_target(peer_id=b"r" * 20), b"X-Real-IP: 198.51.100.8")
    assert seen_by_another(Caller(frontend)) == {
        (packed_address("198.51.100.7"), 6881),
        (packed_address("198.51.100.8"), 6881),
    }


def test_nobody_else_says_who_asks() -> None:
    frontend = make_frontend(trusted_proxies=LOCAL)
    Caller(frontend, host="192.0.2.9").announce(announce_target(), b"X-Forwarded-For: 198.51.100.7")
    assert seen_by_another(Caller(frontend)) == {(packed_address("192.0.2.9"), 6881)}


def test_a_proxy_s_own_place_does_not_make_its_clients_local() -> None:
    frontend = make_frontend(trusted_proxies=LOCAL, address_networks=LOCAL)
    target = announce_target(ip=b"203.0.113.99")
    Caller(frontend, host="127.0.0.1").announce(target, b"X-Forwarded-For: 198.51.100.7")
    assert seen_by_another(Caller(frontend)) == {(packed_address("198.51.100.7"), 6881)}
