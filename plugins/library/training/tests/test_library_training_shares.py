"""The examples of a step: the same on any number of processes, divided so that each has about as many tokens."""

from __future__ import annotations

import itertools
import random

import pytest
from tunesmith_library_training.shares import Order, StepSize, divided, micro_batches

SIZES = [random.Random(7).randint(1, 2_000) for _ in range(53)]


def order(size: StepSize, share: int = 0, count: int = 53, known: bool = True) -> Order:
    """An epoch in a drawn order, another one in each epoch."""
    return Order(
        count,
        size,
        share,
        lambda epoch: random.Random(epoch).sample(range(count), count),
        lambda: (known and SIZES) or None,
    )


def steps(made: list[Order]) -> list[list[int]]:
    """The counted examples of each step of all shares."""
    size = made[0].size
    every = [list(each) for each in made]
    assert {len(batches) for batches in every} == {len(made[0])}, "as many forward passes in each"
    assert all(len(batch) <= size.micro_batch for batch in itertools.chain(*every))
    starts = range(0, len(made[0]), size.accumulation)
    passes = [[batches[start : start + size.accumulation] for batches in every] for start in starts]
    return [sorted(place for share in step for batch in share for place in batch if place >= 0) for step in passes]


@pytest.mark.parametrize("known", [True, False])
def test_any_number_of_processes_makes_the_same_steps(known: bool) -> None:
    """In the last step of an epoch, of 5 examples, seven processes have one each that counts, or none."""
    alone = steps([order(StepSize(8, 8), known=known)])
    expected = random.Random(0).sample(range(53), 53)
    assert alone == [sorted(expected[start : start + 8]) for start in range(0, 53, 8)]
    for shares, micro_batch in [(1, 1), (1, 3), (2, 4), (2, 1), (3, 4), (4, 2), (7, 2), (8, 1), (16, 4)]:
        size = StepSize(8, micro_batch, shares)
        made = [order(size, share, known=known) for share in range(shares)]
        assert steps(made) == alone, (shares, micro_batch)
        assert all(all(batches) for batches in map(list, made)), "none is empty"


def test_one_process_takes_them_in_their_order() -> None:
    batches = list(order(StepSize(8, 3)))
    assert list(itertools.chain(*batches)) == random.Random(0).sample(range(53), 53)
    assert [len(batch) for batch in batches[:3]] == [3, 3, 2]


def test_what_counts_nothing_is_the_shortest() -> None:
    """Three examples for four shares of one each."""
    size = StepSize(4, 1, 4)
    assert sorted(micro_batches([5, 2, 9], size, share)[0][0] for share in range(4)) == [~1, 0, 1, 2]


def test_parts_are_about_as_large() -> None:
    """The bound of Graham (1969) for the largest part: 4/3 of the best there is, which is no less than the mean."""
    drawn = random.Random(1)
    for parts, most in [(2, 100), (3, 20), (8, 8)]:
        sizes = [drawn.randint(1, 2_000) for _ in range(48)]
        found = divided(sizes, parts, most)
        assert sorted(itertools.chain(*found)) == list(range(48)) and all(len(part) <= most for part in found)
        largest = max(sum(sizes[place] for place in part) for part in found)
        assert largest <= 4 / 3 * max(sum(sizes) / parts, max(sizes))
    with pytest.raises(ValueError, match="5 examples do not go into 2 parts of 2"):
        divided([1] * 5, 2, 2)


@pytest.mark.parametrize("batch", [4, 8, 5, 60])
def test_steps_of_another_size_from_the_middle_of_an_epoch_on(batch: int) -> None:
    """After 3 steps of 8 in the second epoch: the rest of it comes once, and the third epoch is a whole one."""
    made = order(StepSize(8, 4))
    assert made.told(7 + 3) == {"epoch": 1, "examples": 24, "batch": 8}
    other = order(StepSize(batch, 4))
    other.go_on(10, 1, 24)
    other.epoch = 1
    passes = other.size.accumulation
    behind = (10 + other.shift) % other.steps * passes
    batches = list(other)
    assert not any(batches[:behind]) and len(batches) == len(other)
    assert list(itertools.chain(*batches)) == random.Random(1).sample(range(53), 53)[24:]
    assert other.told(10) == {"epoch": 1, "examples": 24, "batch": batch}
    left = other.steps - (10 + other.shift) % other.steps
    assert other.told(10 + left) == {"epoch": 2, "examples": 0, "batch": batch} and other.epochs(10 + left) == 2.0
    other.epoch = 2
    assert list(itertools.chain(*other)) == random.Random(2).sample(range(53), 53)
