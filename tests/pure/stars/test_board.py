"""The collector's knowledge: the original's shapes, edges by equal URLs, changes with their times."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.stars.board import (
    MAX_CHANGES,
    Answer,
    Board,
    drawn_edges,
    parse_resource,
    parse_resources,
    put,
    record,
    resources,
    responses,
)
from tortie.stars.example import EXAMPLE, example_board
from tortie.stars.matrix import matrix
from tortie.stars.names import display_names
from tortie.stars.view import state

HOSTS = {"C": "client", "F": "frontend", "B": "backend"}
URLS = {id: f"http://{host}-calico-stars.marathon.mesos:9000/status" for id, host in HOSTS.items()}
NOW = 1000.0


def board() -> Board:
    made = Board()
    for id, url in URLS.items():
        made = put(made, id, url)
    return made


def status(id: str, open_to: str = "") -> bytes:
    targets = [{"reachable": other in open_to, "url": URLS[other]} for other in URLS if other != id]
    return json.dumps({"status": {"targets": targets}}).encode()


def polled(start: Board, open_to: dict[str, str], now: float = NOW) -> Board:
    for id, url in URLS.items():
        start = record(start, id, url, Answer(200, status(id, open_to.get(id, ""))), now)
    return start


def bright(made: Board) -> set[str]:
    return {f"{a.id}{b.id}" for a, b, edge in drawn_edges(made.nodes.values()) if edge.reachable}


def test_before_the_first_poll_every_response_is_null() -> None:
    assert responses(board()) == {"responses": {"C": None, "F": None, "B": None}}


def test_a_response_carries_the_whole_body_its_code_and_its_url() -> None:
    made = record(board(), "C", URLS["C"], Answer(503, b'{"anything":[1]}'), NOW)
    assert responses(made)["responses"]["C"] == {"json": {"anything": [1]}, "statusCode": 503, "url": URLS["C"]}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe{}", b"NaN", b"[" * 200_000])
def test_an_answer_that_is_no_json_is_null_and_says_why(body: bytes) -> None:
    made = record(board(), "C", URLS["C"], Answer(200, body), NOW)
    assert made.nodes["C"].response is None
    assert made.nodes["C"].error == "protocol"
    assert "not JSON" in made.nodes["C"].detail


def test_a_failed_poll_loses_the_last_answer_and_keeps_the_reason() -> None:
    made = polled(board(), {})
    made = record(made, "F", URLS["F"], Answer(error="timeout", detail="no answer within 3 s"), NOW + 5)
    assert responses(made)["responses"]["F"] is None
    assert (made.nodes["F"].error, made.nodes["F"].since) == ("timeout", NOW + 5)


def test_an_edge_needs_both_ends_and_a_url_equal_letter_by_letter() -> None:
    made = polled(board(), {"C": "F", "F": "B"})
    assert bright(made) == {"CF", "FB"}
    assert len(drawn_edges(made.nodes.values())) == 6
    other_form = put(made, "F", URLS["F"].replace("-calico-stars.", ".calico-stars."))
    other_form = record(other_form, "F", other_form.nodes["F"].url, Answer(200, status("F", "B")), NOW)
    assert bright(other_form) == {"FB"}
    silent = record(made, "B", URLS["B"], Answer(error="timeout"), NOW)
    assert bright(silent) == {"CF"}


def test_changes_are_told_once_with_names_and_port() -> None:
    made = polled(board(), {})
    assert [c.text for c in made.changes] == [f"{HOSTS[id]} answers the collector" for id in "CFB"]
    made = polled(made, {"C": "F"}, NOW + 5)
    made = polled(made, {"C": "F"}, NOW + 10)
    made = polled(made, {}, NOW + 15)
    assert [(c.at, c.text, c.up) for c in made.changes[3:]] == [
        (NOW + 5, "frontend accepts client on 9000", True),
        (NOW + 15, "frontend no longer accepts client on 9000", False),
    ]


def test_an_edge_that_stayed_the_same_while_its_node_was_silent_is_no_change() -> None:
    made = polled(board(), {"C": "F"})
    count = len(made.changes)
    made = record(made, "C", URLS["C"], Answer(error="timeout"), NOW + 5)
    made = record(made, "C", URLS["C"], Answer(200, status("C", "F")), NOW + 10)
    assert [c.kind for c in made.changes[count:]] == ["node", "node"]


def test_changes_are_bounded_and_in_order_of_time() -> None:
    made = board()
    for i in range(MAX_CHANGES):
        made = polled(made, {"C": "F" if i % 2 else ""}, NOW + i)
    assert len(made.changes) == MAX_CHANGES
    times = [c.at for c in made.changes]
    assert times == sorted(times)


def details(id: str, open_to: str, age: float, since: float) -> bytes:
    rows = [
        {"url": URLS[o], "reachable": o in open_to, "error": None if o in open_to else "timeout", "latencyMs": 1.5,
         "age": age, "sinceAge": since}
        for o in URLS if o != id
    ]  # fmt: skip
    return json.dumps({"period": 5, "targets": rows}).encode()


def test_details_of_our_probe_date_the_edge_by_our_own_clock() -> None:
    made = polled(board(), {})
    made = record(made, "C", URLS["C"], Answer(200, status("C", "F"), details("C", "F", 1.0, 4.0)), NOW + 5)
    edges = {(a.id, b.id): edge for a, b, edge in drawn_edges(made.nodes.values())}
    assert (edges["C", "F"].at, edges["C", "F"].since, edges["C", "F"].latency_ms) == (NOW + 4, NOW + 1, 1.5)
    assert edges["C", "B"].error == "timeout"
    assert (made.changes[-1].text, made.changes[-1].at) == ("frontend accepts client on 9000", NOW + 1)


def test_details_that_contradict_the_status_or_are_broken_are_left_out() -> None:
    for more in (details("C", "B", 1, 1), b"[1]", b"nonsense", b'{"targets": 5}'):
        made = record(polled(board(), {}), "C", URLS["C"], Answer(200, status("C", "F"), more), NOW)
        edge = next(e for a, b, e in drawn_edges(made.nodes.values()) if (a.id, b.id) == ("C", "F"))
        assert (edge.reachable, edge.at) == (True, None)


@pytest.mark.parametrize("body", [b"5", b"[]", b'{"status": 5}', b'{"status": {"targets": [5, {"url": 1}, {}]}}'])
def test_a_node_with_an_odd_body_is_drawn_without_edges(body: bytes) -> None:
    made = record(polled(board(), {}), "C", URLS["C"], Answer(200, body), NOW)
    assert made.nodes["C"].response is not None
    assert made.nodes["C"].edges == ()


def test_an_answer_of_a_url_that_was_replaced_is_dropped() -> None:
    made = put(board(), "C", "http://other:9000/status")
    assert record(made, "C", URLS["C"], Answer(200, status("C")), NOW) is made


def test_adding_a_pair_again_starts_it_anew() -> None:
    made = put(polled(board(), {}), "C", URLS["C"])
    assert responses(made)["responses"]["C"] is None
    assert [row["id"] for row in resources(made)["resources"]] == ["C", "F", "B"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Expecting"),
        (b"[]", "object"),
        (b'{"id": "A"}', "'url'"),
        (b'{"url": "http://a/"}', "'id'"),
        (b'{"id": 5, "url": "http://a/"}', "'id'"),
        (b'{"id": "", "url": "http://a/"}', "'id'"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_bad_resource_is_refused_with_the_field(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_resource(body)


def test_a_resources_file_must_be_an_array() -> None:
    assert parse_resources(b'[{"id": "A", "url": "http://a:1/"}]') == [("A", "http://a:1/")]
    with pytest.raises(ValueError, match="array"):
        parse_resources(b'{"id": "A", "url": "http://a:1/"}')


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        (URLS, HOSTS),
        ({"A": "http://10.0.0.1:1/", "B": "http://10.0.0.2:1/"}, {"A": "A", "B": "B"}),
        ({"A": "http://a.x:1/", "B": "http://b.x:1/"}, {"A": "A", "B": "B"}),
        ({"A": "http://web.star:1/", "B": "http://web.star:2/"}, {"A": "A", "B": "B"}),
        ({"A": "http://probe-a.star.marathon.mesos:9000/", "B": "http://probe-b.star.marathon.mesos:9000/"},
         {"A": "probe-a", "B": "probe-b"}),
        ({"A": "nonsense", "B": "http://[::1]:5/"}, {"A": "A", "B": "B"}),
    ],
)  # fmt: skip
def test_names_are_what_the_hosts_do_not_share(urls: dict[str, str], names: dict[str, str]) -> None:
    assert display_names(urls) == names


def test_the_state_holds_nodes_edges_and_changes() -> None:
    shown: dict[str, Any] = state(polled(board(), {"C": "F"}), NOW, 5.0)
    assert [node["name"] for node in shown["nodes"]] == ["client", "frontend", "backend"]
    assert {(e["from"], e["to"], e["port"]) for e in shown["edges"] if e["reachable"]} == {("C", "F", 9000)}
    json.dumps(shown)


def test_the_example_has_five_probes_of_which_the_last_is_null() -> None:
    made = example_board(NOW)
    assert responses(made) == EXAMPLE
    assert sorted(EXAMPLE["responses"]) == list("ABCDE")
    assert EXAMPLE["responses"]["E"] is None


def test_the_matrix_as_text() -> None:
    made = record(polled(board(), {"C": "F"}), "B", URLS["B"], Answer(error="timeout"), NOW)
    assert matrix(made) == (
        "from \\ to  client  frontend  backend\n"
        "client     -       yes       -\n"
        "frontend   no      -         -\n"
        "backend    -       -         -\n"
        "backend does not answer: timeout\n"
    )
