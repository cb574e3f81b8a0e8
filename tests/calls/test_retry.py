"""The retry limit on a virtual clock."""

from __future__ import annotations

import pytest

from agent.calls.retry import MAX_BUCKETS, RetryLimiter


def test_so_many_calls_pass_and_the_next_one_hears_when_to_try_again() -> None:
    limiter = RetryLimiter(max_calls=2, window_s=60)
    assert limiter.refusal("night", 0.0) is None
    assert limiter.refusal("night", 10.0) is None
    assert limiter.refusal("night", 15.0) == (
        "retryBucketId 'night': 2 calls were placed within 60 s, which is the limit; try again in 45 s"
    )
    assert limiter.refusal("night", 59.9) is not None
    assert limiter.refusal("night", 60.0) is None  # the first one is out of the window, refused ones never counted
    assert "in 10 s" in str(limiter.refusal("night", 60.0))


def test_buckets_are_kept_apart() -> None:
    limiter = RetryLimiter(max_calls=1, window_s=60)
    assert limiter.refusal("a", 0.0) is None
    assert limiter.refusal("b", 0.0) is None
    assert "1 call was placed" in str(limiter.refusal("a", 1.0))


def test_no_number_of_other_names_makes_room_for_a_bucket_that_is_full() -> None:
    limiter = RetryLimiter(max_calls=1, window_s=3600)
    assert limiter.refusal("door", 0.0) is None
    answers = [limiter.refusal(f"bucket-{number}", 1.0) for number in range(10 * MAX_BUCKETS)]
    assert answers.count(None) == MAX_BUCKETS  # those that have a place beside the door's, and one for all the others
    assert str(answers[-1]).startswith("retryBucketId 'bucket-639': 1 call was placed within 3600 s in the bucket that")
    assert limiter.refusal("door", 3599.0) is not None
    assert len(limiter._placed) <= MAX_BUCKETS


def test_names_whose_window_is_over_make_room() -> None:
    limiter = RetryLimiter(max_calls=1, window_s=60)
    for number in range(MAX_BUCKETS + 1):
        assert limiter.refusal(f"bucket-{number}", 0.0) is None
    assert limiter.refusal("door", 59.0) is not None
    assert limiter.refusal("door", 60.0) is None
    assert limiter.refusal("gate", 60.0) is None
    assert list(limiter._placed) == ["door", "gate"]


@pytest.mark.parametrize(("max_calls", "window_s"), [(0, 60.0), (1, 0.0)])
def test_a_limit_of_nothing_is_refused(max_calls: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        RetryLimiter(max_calls, window_s)
