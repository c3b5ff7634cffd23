"""The table of docs/optimizers.md says what the optimizers' estimates say."""

import re
from pathlib import Path

import pytest
from tunesmith.catalog import Catalog
from tunesmith_library_estimates.estimation import Estimate, Weight

ROOT = Path(__file__).parents[1]
# the linear layers of a layer of a 7B model, (out, in)
SHAPES = {
    **{f"self_attn.{name}_proj": (4096, 4096) for name in "qkvo"},
    **{"mlp.gate_proj": (11008, 4096), "mlp.up_proj": (11008, 4096), "mlp.down_proj": (4096, 11008)},
}
MODEL = Estimate(
    "bf16",
    tuple(Weight(f"model.layers.0.{name}.weight", shape, "linear", 32, True) for name, shape in SHAPES.items()),
)
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\| (\d+\.\d+)(?: at rank (\d+))? \|", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs/optimizers.md").read_text(encoding="utf-8"))


def test_rows_are_found():
    assert {name for name, _, _ in ROWS} >= {"adamw8bit", "adam_mini", "muon", "galore", "apollo", "apollo_mini"}


@pytest.mark.parametrize(("name", "said", "rank"), ROWS)
def test_state_by_the_table(name, said, rank):
    catalog = Catalog.discover()
    made = catalog.load(catalog.find("optimizer", name))
    found = (made(rank=int(rank)) if rank else made()).estimate(MODEL)
    states = found.memory["optimizer states"].bytes / MODEL.parameters
    decimals = len(said.partition(".")[2])
    assert f"{states:.{decimals}f}" == said
