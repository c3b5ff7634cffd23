"""The table of what sizes of models need: real configurations, beside the figures that LLaMA-Factory publishes."""

import pytest
from tunesmith_library_estimates import hardware_table

LORA = next(method for method in hardware_table.METHODS if method.name == "LoRA")


@pytest.fixture
def one_row(monkeypatch):
    monkeypatch.setattr(hardware_table, "METHODS", (LORA,))
    hardware_table.table.cache_clear()
    yield
    hardware_table.table.cache_clear()


def test_a_row(one_row):
    """LoRA is hardly more than the model in 16 bits, whose sizes are those that its authors give."""
    parameters = {"7B": 7.62e9, "14B": 14.8e9, "30B": 32.8e9, "70B": 70.6e9}
    told = {cell["size"]: cell for cell in hardware_table.told()}
    for size, count in parameters.items():
        assert 1.0 < told[size]["peak"] / (2 * count) < 1.15, size
    assert [told[size]["card_gb"] for size in parameters] == [24, 48, 80, None]
    assert "7B" in hardware_table.text() and "(16)" in hardware_table.text()
    assert hardware_table.markdown().count("| LoRA | 16 |") == 2


def test_the_models_have_the_sizes_of_their_columns():
    from tunesmith_library_estimates.architectures import decoder

    counted = {}
    for model in hardware_table.models():
        found = decoder(model["config"], 16)
        counted[model["name"]] = sum(weight.count for weight in found.weights)
    assert counted == {
        "Qwen2.5-7B": 7_615_616_512,
        "Qwen2.5-14B": 14_770_033_664,
        "Qwen2.5-32B": 32_763_876_352,
        "Llama-3.1-70B": 70_553_706_496,
    }, "the counts of their model cards' files"
