"""Redis and memory return the same results for any sequence of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mock_server.fixtures.deployments import Calls
from mock_server.shared_state.redis_state import RedisState
from mock_server.simulation.overrides import Overrides
from mock_server.simulation.state import AccountRef, AccountSnapshot, BucketSpec, MemoryState, State, TakeResult

from .server import Redis

KEYS = st.sampled_from(["a", "b"])
RATES = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0, 10.0, 1e6, 5e-324]), st.floats(0, 1e6))
TOKENS = st.one_of(st.none(), st.floats(0, 60))
BUCKETS = st.builds(BucketSpec, KEYS, RATES, st.one_of(st.integers(1, 50), st.just(1_000_000)), TOKENS, KEYS)
TIMES = st.one_of(st.floats(-10, 10), st.floats(0, 4e9))

take = st.tuples(st.just("take"), st.integers(0, 1), TIMES, st.integers(0, 3))
look = st.tuples(st.just("look"), st.integers(0, 1), TIMES)
counting = st.tuples(st.just("count"), KEYS)
counts = st.tuples(st.just("counts"), st.lists(KEYS))
forget = st.tuples(st.just("forget"), st.one_of(st.none(), KEYS))
forget_counts = st.just(("forget counts",))
STEPS = st.lists(st.one_of(take, take, take, look, counting, counts, forget, forget_counts), max_size=30)

Step = tuple[object, ...]

_names = count()


async def results(state: State, buckets: tuple[BucketSpec, BucketSpec], steps: list[Step]) -> list[object]:
    """Return the result of each step for a state."""
    operations: dict[object, Callable[..., Coroutine[object, object, object]]] = {
        "take": lambda number, now, tokens: without_snapshot(state, buckets[number], now, tokens),
        "look": lambda number, now: state.look(buckets[number], now),
        "count": state.count,
        "counts": state.counts,
        "forget counts": state.forget_counts,
        "forget": lambda key: state.change(Overrides(), restart=True, key=key),
    }
    try:
        return [await operations[name](*arguments) for name, *arguments in steps]
    finally:
        await state.close()


async def without_snapshot(state: State, bucket: BucketSpec, now: float, tokens: int) -> TakeResult:
    taken = await state.take(bucket, now, tokens=tokens, account=AccountRef(bucket.name, bucket.key))
    return replace(taken, snapshot=None)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.tuples(BUCKETS, BUCKETS), STEPS)
@example(
    (BucketSpec("a", 0.1, 1_000_000, 0.0, "a"),) * 2, [("take", 0, 0.0, 0), ("take", 0, 4e9, 0), ("look", 0, 4.1e9)]
)
@example((BucketSpec("a", 1, 1),) * 2, [("count", "a"), ("count", "a"), ("forget counts",), ("count", "a")])
@example((BucketSpec("a", 1 / 3, 50, 0.0, "a"),) * 2, [("take", 0, t / 7, 1) for t in range(60)])
def test_the_two_states_agree_on_every_token(
    redis: Redis, buckets: tuple[BucketSpec, BucketSpec], steps: list[Step]
) -> None:
    one, other = buckets
    if one.name == other.name:
        buckets = (one, one)  # a name identifies one bucket
    shared = RedisState(f"{redis.url}#same-{next(_names)}")
    assert asyncio.run(results(shared, buckets, steps)) == asyncio.run(results(MemoryState(), buckets, steps))


def test_traffic_is_recorded_by_one_call_that_creates_the_account(redis: Redis) -> None:
    account, bucket = AccountRef("a", "a"), BucketSpec("a", 1, 5, None, "a")

    async def recorded() -> tuple[int, AccountSnapshot | None]:
        state = RedisState(f"{redis.url}#same-{next(_names)}")
        await state.take(bucket, 0, tokens=0, account=AccountRef("b", "b"))  # loads the scripts into Redis
        await state.record(AccountRef("b", "b"), 0, {"b.example": {"ws": Calls(1)}})
        before = redis.calls_of("evalsha")
        for now in (7.5, 9.0):
            await state.record(account, now, {"a.example": {"ws": Calls(2, 1)}})
        calls = redis.calls_of("evalsha") - before
        taken = await state.take(bucket, 10, tokens=0, account=account)
        await state.close()
        return calls, taken.snapshot

    calls, snapshot = asyncio.run(recorded())
    assert calls == 2
    assert snapshot and (snapshot.since, snapshot.traffic) == (7.5, {"a.example": {"ws": Calls(4, 2)}})


@pytest.mark.parametrize("rps", [1e-9, 0.1, 1 / 3, 9.999999, 123456.789, 1e6])
def test_long_times_at_odd_rates_are_exact(redis: Redis, rps: float) -> None:
    buckets = (BucketSpec("a", rps, 1_000_000, 0.0, "a"),) * 2
    steps: list[Step] = [("take", 0, now, 0) for now in (0.0, 1e-6, 0.1, 1.7, 1e3, 1e5 + 1e-6, 3e8, 4e9)]
    shared = RedisState(f"{redis.url}#same-{next(_names)}")
    assert asyncio.run(results(shared, buckets, steps)) == asyncio.run(results(MemoryState(), buckets, steps))
