"""Whose backup begins next: each request in turn, no host beyond its limit, nobody for ever."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from barmand.model.queueing import Limits, Waiting, admitted, in_order, next_turn, places

REQUESTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), max_size=30)


def waiting(name: str, host: str = "db1", turn: int = 1, number: int = 0) -> Waiting:
    return Waiting(name, host, turn, number)


def queue_of(*names: str) -> list[Waiting]:
    return [waiting(name, number=number) for number, name in enumerate(names)]


def test_first_come_first_served_as_many_as_there_are_places() -> None:
    begun = admitted(queue_of("a", "b", "c"), ["db9"], Limits(3))
    assert [each.key for each in begun] == ["a", "b"]


def test_a_full_host_lets_others_pass_and_keeps_its_turn() -> None:
    queue = [waiting("a"), waiting("b", number=1), waiting("c", "db2", number=2)]
    assert [e.key for e in admitted(queue, ["db1"], Limits(4, per_host=1))] == ["c"]
    assert [e.key for e in admitted(queue, [], Limits(4, per_host=1))] == ["a", "c"]
    assert [e.key for e in in_order(queue)] == ["a", "b", "c"]


def test_each_is_told_its_place_and_why_it_waits() -> None:
    queue = [waiting("a"), waiting("b", "db2", number=1)]
    told = places(queue, ["db1", "db1"], Limits(4, per_host=2))
    assert (told["a"].position, told["a"].count) == (1, 2)
    assert told["a"].waits_for == "waits for its host: db1 has 2 of 2"
    full = places(queue, ["db1", "db1"], Limits(2, per_host=2))
    assert full["b"].position == 2
    assert full["b"].waits_for == "waits for a place (max_parallel_backups = 2)"


def test_a_later_request_does_not_wait_for_the_whole_of_one_for_all() -> None:
    turns: list[int] = []
    for _ in range(200):
        turns.append(next_turn(1, turns[-1] if turns else None))
    every = [waiting(f"all{n}", turn=turn, number=n) for n, turn in enumerate(turns)]
    single = waiting("single", turn=next_turn(1, None), number=200)
    assert in_order([*every, single]).index(single) == 1


@dataclass
class House:
    """Requests come, backups end; as the daemon's queue does it."""

    limits: Limits
    queue: list[Waiting] = field(default_factory=list)
    running: list[Waiting] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    turn: int = 0
    count: int = 0

    def ask(self, request: int, host: str) -> Waiting:
        turn = self.last[request] = next_turn(self.turn, self.last.get(request))
        self.count += 1
        self.queue.append(Waiting(self.count, host, turn, self.count))
        return self.queue[-1]

    def begin(self) -> None:
        for each in admitted(self.queue, [e.host for e in self.running], self.limits):
            self.queue.remove(each)
            self.running.append(each)
            self.turn = max(self.turn, each.turn)


@given(REQUESTS, st.integers(1, 4), st.none() | st.integers(1, 2))
def test_no_limit_is_passed_no_place_is_wasted_and_all_have_their_turn(
    asked: list[tuple[int, str]], total: int, per_host: int | None
) -> None:
    house = House(Limits(total, per_host))
    for request, host in asked:
        house.ask(request, host)
        house.begin()
    ended = 0
    while house.queue or house.running:
        busy = Counter(each.host for each in house.running)
        assert len(house.running) <= total
        assert all(per_host is None or count <= per_host for count in busy.values())
        if len(house.running) < total:
            assert all(per_host and busy[each.host] >= per_host for each in house.queue)
        house.running.pop(0)
        ended += 1
        house.begin()
    assert ended == len(asked)


@given(st.integers(1, 3))
def test_singles_that_never_cease_do_not_starve_a_request_for_all(total: int) -> None:
    house = House(Limits(total))
    last = [house.ask(0, "h") for _ in range(20)][-1]
    for number in range(300):
        house.ask(100 + number, "h")
        house.begin()
        house.running.pop(0)
    assert last not in house.queue
