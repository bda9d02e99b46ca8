from __future__ import annotations

import attrs
from prometheus_client.parser import text_string_to_metric_families

from meshtracker.admin.metrics import _NODE_METRICS, render_metrics
from meshtracker.admin.status import Status
from meshtracker.link.statistics import SessionStatistics
from tests.admin.support import ENDED, LINK, make_status

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(status: Status) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(render_metrics(status).decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, "Prometheus refuses a scrape with the same sample twice"
            found[key] = sample.value
    return found


def synced(*links: SessionStatistics) -> dict[str, float]:
    found = samples(make_status(links=links))
    return {dict(labels)["peer"]: value for (name, labels), value in found.items() if name == "meshtracker_link_synced"}


def test_figures_come_from_the_statistics() -> None:
    found = samples(make_status())
    none: frozenset[tuple[str, str]] = frozenset()
    assert found["meshtracker_peers", none] == 1
    assert found["meshtracker_announces_total", none] == 1
    assert found["meshtracker_uptime_seconds", none] == 100
    assert found["meshtracker_udp_announces", none] == 3
    assert found["meshtracker_udp_load", none] == 0.5
    assert ("meshtracker_udp_error", none) not in found
    assert found["meshtracker_link_received_bytes", frozenset({("peer", "hub")})] == 4096
    assert found["meshtracker_link_state", frozenset({("peer", "hub"), ("state", "synced")})] == 1
    assert found["meshtracker_refused_links_total", frozenset({("kind", "authentication")})] == 3
    assert found["meshtracker_link_soft_splits_total", frozenset({("peer", "hub")})] == 2
    assert found["meshtracker_link_resets_total", frozenset({("peer", "hub"), ("cause", "command")})] == 1
    assert found["meshtracker_link_resets_total", frozenset({("peer", "hub"), ("cause", "soft-split")})] == 2
    assert found["meshtracker_link_disabled", frozenset({("peer", "hub")})] == 0
    assert found["meshtracker_link_breaches_total", frozenset({("peer", "hub")})] == 4
    assert found["meshtracker_link_unshared_rows", frozenset({("peer", "hub")})] == 6
    assert found["meshtracker_link_refused_records", frozenset({("peer", "hub")})] == 7
    assert found["meshtracker_link_dropped_records", frozenset({("peer", "hub")})] == 8
    assert found["meshtracker_streams", none] == 1
    assert found["meshtracker_memory_bound_bytes", none] > 1 << 20
    assert found["meshtracker_info", frozenset({("name", "leaf"), ("role", "leaf"), ("version", "0.1.0")})] == 1


def test_every_figure_of_a_node_is_there() -> None:
    node = make_status().node
    groups = ("tracker", "registry", "mesh", "log")
    fields = {f"{group}.{field.name}" for group in groups for field in attrs.fields(type(getattr(node, group)))}
    assert fields <= {place for _, _, place, _ in _NODE_METRICS}


def test_a_link_that_is_not_synced_says_so() -> None:
    assert synced(LINK) == {"hub": 1}
    for state in ("bursting", "soft-split"):
        assert synced(attrs.evolve(LINK, state=state)) == {"hub": 0}


def test_only_live_links_with_a_name_count() -> None:
    assert synced(ENDED, attrs.evolve(LINK, peer="", state="authenticating")) == {}


def test_of_two_connections_of_one_peer_the_first_counts() -> None:
    assert synced(LINK, attrs.evolve(LINK, state="comparing"), ENDED) == {"hub": 1}
