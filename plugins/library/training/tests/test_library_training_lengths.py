"""How long the longest examples of a data set are."""

from types import SimpleNamespace

from datasets import Dataset
from tunesmith_library_training.lengths import longest


def test_longest_examples_of_a_table_and_of_rows() -> None:
    """Of pairs both sequences count; a data set that was narrowed gives an upper bound, and no token is read."""
    rows = [{"chosen_input_ids": [1] * n, "rejected_input_ids": [2] * (n % 3), "labels": [0]} for n in (4, 9, 2, 30)]
    for examples in (rows, Dataset.from_list(rows), SimpleNamespace(dataset=Dataset.from_list(rows))):
        assert longest(examples, 2) == [30, 9] and longest(examples, 9) == [30, 9, 5, 4]
    assert longest(Dataset.from_list(rows).select([2, 0]), 1) == [30]
    assert longest(iter(rows), 2) is None and longest(Dataset.from_list([{"text": "x"}]), 2) is None


def test_examples_that_are_made_when_they_are_read_are_not_read() -> None:
    class Making:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: int) -> dict[str, list[int]]:
            raise AssertionError("it was read")

    assert longest(Making(), 2) is None
