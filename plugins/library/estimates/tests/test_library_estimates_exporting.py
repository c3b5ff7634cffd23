"""What an export takes beside the model: a file's worth of it, and the larger of what comes one after the other."""

import pytest
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.exporting import merged_beside, merging, size_of, while_exporting
from tunesmith_library_testing.parts import StubPlan

WEIGHTS = (Weight("model.embed_tokens.weight", (100, 8), "embedding", 16), Weight("a.weight", (8, 8), "linear", 16))
MODEL = Estimate("bf16", WEIGHTS)
PLAN = StubPlan({}, "export")


@pytest.mark.parametrize(("told", "size"), [("5GB", 5e9), ("1.5 MiB", 1.5 * 2**20), ("x", float("inf"))])
def test_sizes_of_files_are_read(told, size):
    assert size_of(told) == size


def test_writing_takes_a_file_and_a_weight_in_float32():
    assert merging(MODEL, PLAN, 16) == {"a file's weights while they are written": 2 * 864, "a weight in float32": 3200}
    assert merging(MODEL, PLAN, 16, "1KB")["a file's weights while they are written"] == 1000


def test_a_model_that_is_written_finer_than_it_is_held_is_put_into_float32():
    assert merging(MODEL, PLAN, 32)["the model in float32"] == 2 * 864


def test_the_larger_of_what_comes_one_after_the_other_counts_also_of_several_exporters():
    made = while_exporting(MODEL, {"one": 5.0}, {"two": 3.0, "three": 4.0})
    assert made.bytes("save") == {"weights": 1728, "two": 3, "three": 4}
    assert while_exporting(made, {"four": 6.0}) == made
    assert while_exporting(made, {"four": 9.0}).bytes("save") == {"weights": 1728, "four": 9}
    assert made.bytes("load") == {"weights": 1728}


def test_the_merged_model_lies_beside_an_export_unless_it_is_one():
    (size,) = merged_beside(MODEL, StubPlan({"exporter": {"gguf": None}}, "export")).disk.values()
    assert size == 1728
    assert not merged_beside(MODEL, StubPlan({"exporter": {"gguf": None, "merged": None}}, "export")).disk
