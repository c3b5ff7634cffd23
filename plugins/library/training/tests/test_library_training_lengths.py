"""How long the examples of a data set are, and its longest ones."""

from types import SimpleNamespace

from datasets import Dataset, concatenate_datasets
from tunesmith_library_training.lengths import every, longest


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
    assert every(Making()) is None


def test_every_example_in_its_order() -> None:
    """Of a selection in its own order, and of one that draws in each epoch by the rows of now."""
    rows = [{"chosen_input_ids": [1] * n, "rejected_input_ids": [2] * (n % 3), "labels": [0]} for n in (4, 9, 2, 30)]
    table = Dataset.from_list(rows)
    for examples in (rows, table, table.with_format("numpy")):
        assert every(examples).tolist() == [5, 9, 4, 30]
    assert every(table.select([3, 0, 0])).tolist() == [30, 5, 5], "selected, over the same table"
    assert every(table.select(range(1, 3))).tolist() == [9, 4], "a slice of it"
    joined = concatenate_datasets([table.select([2]), table.shuffle(seed=1)])
    assert every(joined).tolist() == [len(row["chosen_input_ids"]) + len(row["rejected_input_ids"]) for row in joined]
    assert every(SimpleNamespace(examples=table, rows=[1, 1, 3])).tolist() == [9, 9, 30]
    assert every(iter(rows)) is None
