"""Requests that wait are served together: who is served when, and what becomes of failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tortie.base.errors import Unavailable
from tortie.ipam.ledger import Ledger
from tortie.ipam.turns import TOGETHER, Together, Turns
from tortie.store.port import Datastore

SECONDS = 60
Rule = Callable[[Sequence[int]], Sequence[int]]


class Service:
    """Serves by a rule. Its first round lasts until everybody else has come."""

    def __init__(self, store: Datastore, rule: Rule, everybody: int) -> None:
        self.rounds: list[tuple[str, list[int]]] = []
        self._rule = rule
        self._everybody = everybody
        self.begun = threading.Event()
        self.together = Together[str, int, int](Turns(Ledger(store, "host-a")), self._serve)

    def _serve(self, key: str, requests: Sequence[int]) -> Sequence[int]:
        self.rounds.append((key, list(requests)))
        self.begun.set()
        deadline = time.monotonic() + SECONDS
        while len(self.rounds) == 1 and self.together.waiting < self._everybody:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return self._rule(requests)


def ask(rule: Rule, requests: Sequence[tuple[str, int]]) -> tuple[list[object], list[tuple[str, list[int]]]]:
    """The answer or failure of each request, and the rounds; the others come while the first is being served."""
    service = Service(None, rule, len(requests))  # type: ignore[arg-type]
    answers: list[object] = [None] * len(requests)

    def one(number: int, key: str, request: int) -> None:
        try:
            answers[number] = service.together.ask(key, request)
        except Exception as error:  # noqa: BLE001
            answers[number] = error

    threads = [threading.Thread(target=one, args=(n, *request), daemon=True) for n, request in enumerate(requests)]
    threads[0].start()
    assert service.begun.wait(SECONDS)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert service.together.waiting == 0
    return answers, service.rounds


def doubled(requests: Sequence[int]) -> Sequence[int]:
    return [2 * request for request in requests]


def test_those_who_came_meanwhile_are_served_in_one_round() -> None:
    answers, rounds = ask(doubled, [("a", number) for number in range(9)])
    assert answers == [2 * number for number in range(9)]
    assert [len(requests) for _, requests in rounds] == [1, 8]


def test_only_requests_with_the_same_key_share_a_round() -> None:
    answers, rounds = ask(doubled, [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5)])
    assert answers == [2, 4, 6, 8, 10]
    assert sorted((key, sorted(requests)) for key, requests in rounds) == [("a", [1]), ("a", [2, 4]), ("b", [3, 5])]


def test_whom_a_round_leaves_without_an_answer_is_in_a_later_one() -> None:
    answers, rounds = ask(lambda requests: doubled(requests[:3]), [("a", number) for number in range(9)])
    assert answers == [2 * number for number in range(9)]
    assert sorted(len(requests) for _, requests in rounds) == [1, 2, 5, 8]


def test_a_round_has_an_end() -> None:
    many = TOGETHER + 5
    answers, rounds = ask(doubled, [("a", number) for number in range(many)])
    assert answers == [2 * number for number in range(many)]
    assert max(len(requests) for _, requests in rounds) == TOGETHER


def test_a_failure_is_told_to_all_of_its_round() -> None:
    def rule(requests: Sequence[int]) -> Sequence[int]:
        if len(requests) > 1:
            raise Unavailable("whether it was written is not known")
        return doubled(requests)

    answers, rounds = ask(rule, [("a", number) for number in range(5)])
    assert answers[0] == 0
    assert [str(answer) for answer in answers[1:]] == ["whether it was written is not known"] * 4
    assert len(rounds) == 2


def test_an_error_of_ours_hurts_one_and_the_others_are_served() -> None:
    def rule(requests: Sequence[int]) -> Sequence[int]:
        if len(requests) == 4:
            raise RuntimeError("a defect")
        return doubled(requests)

    answers, _ = ask(rule, [("a", number) for number in range(5)])
    assert sum(isinstance(answer, RuntimeError) for answer in answers) == 1
    assert sum(isinstance(answer, int) for answer in answers) == 4
