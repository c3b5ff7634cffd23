"""Models that can be chosen: found in folders and caches, told from heads of files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_studio import Workspace
from tunesmith_library_studio.models import Models, finding
from tunesmith_library_studio.models.facts import facts_of
from tunesmith_library_studio.workspace import OutsideWorkspace


def weights(file: Path, **shapes: tuple[str, list[int]]) -> None:
    """A safetensors file as its specification has it: the head's length, the head, the numbers (none here)."""
    head = {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, (dtype, shape) in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **head}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)


def model(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **config}))
    weights(folder / "model.safetensors", a=("BF16", [1000, 3]), b=("F32", [7]))
    return folder


def run(folder: Path, base: str = "org/base") -> Path:
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("stage: sft\n")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 4}))
    weights(folder / "adapter_model.safetensors", a=("F32", [4, 8]))
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "scope"))
    root = tmp_path / "work"
    root.mkdir()
    return Workspace(Path("runs"), root)


def addresses(workspace: Workspace, *kinds: str) -> list[str]:
    return [item["address"] for item in Models(workspace).listed(kinds=kinds)["items"]]


def test_what_lies_in_a_workspace(workspace: Workspace) -> None:
    root, runs = workspace.root, workspace.runs
    (root / "run.yaml").write_text("stage: sft\n")  # a configuration of the user's, which makes no run of the workspace
    run(run(runs / "组" / "qwen 3") / "checkpoint-8")
    (run(runs / "failed") / "adapter_config.json").unlink()
    run(runs / "failed" / "checkpoint-4")
    model(runs / "qwen-merged")
    (runs / "qwen-merged" / "export_report.json").write_text("{}")
    model(root / "models" / "base")
    model(root / ".hidden" / "base")
    (root / "models" / "files").mkdir()
    (root / "models" / "files" / "m.Q4.gguf").write_bytes(b"GGUF")
    assert addresses(workspace, "run") == ["runs/组/qwen 3"]
    assert sorted(addresses(workspace, "checkpoint")) == ["runs/failed/checkpoint-4", "runs/组/qwen 3/checkpoint-8"]
    assert addresses(workspace, "export") == ["runs/qwen-merged"]
    assert addresses(workspace, "model") == ["models/base"]
    assert addresses(workspace, "file") == ["models/files/m.Q4.gguf"]
    assert Models(workspace).describe("组/qwen 3")["kind"] == "run"


def test_what_is_new_is_found_and_what_is_gone_is_not(workspace: Workspace) -> None:
    walk = finding.Walk()
    first = model(workspace.root / "one")
    assert [found.path for found in walk.models(workspace.root)] == [first]
    second = model(workspace.root / "two")
    assert [found.path for found in walk.models(workspace.root)] == [first, second]
    (first / "config.json").unlink()
    assert [found.path for found in walk.models(workspace.root)] == [second]


def test_a_walk_has_an_end(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    model(workspace.root / "near")
    for number in range(30):
        (workspace.root / f"z{number}" / "deep").mkdir(parents=True)
    (workspace.root / "loop").symlink_to(workspace.root)
    monkeypatch.setattr(finding, "_MANY", 20)
    told = Models(workspace).listed(kinds=("model",))
    assert [item["name"] for item in told["items"]] == ["near"] and not told["whole"]


def test_facts_of_a_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", model_type="qwen2_vl", text_config={"max_position_embeddings": 4096})
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\nWords\nlicense: none\n")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    told = facts_of(folder)
    assert told["parameters"] == 1000 * 3 + 7 and told["dtype"] == "bfloat16" and told["context"] == 4096
    assert (told["licence"], told["template"], told["architecture"]) == ("apache-2.0", "own", "LlamaForCausalLM")
    assert told["size"] == (folder / "model.safetensors").stat().st_size
    weights(folder / "model-2.safetensors", c=("BF16", [11]))
    assert facts_of(folder)["parameters"] == 3018, "what is added counts"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq 4 bit"),
        ({"quant_method": "awq", "w_bit": 4}, "awq 4 bit"),
        ({"load_in_8bit": True, "quant_method": "bitsandbytes"}, "bitsandbytes 8 bit"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
def test_how_a_model_is_stored(tmp_path: Path, said: dict[str, Any], told: str) -> None:
    facts = facts_of(model(tmp_path / "m", quantization_config=said))
    assert facts["quantized"] == told and "parameters" not in facts, "packed numbers are no count of parameters"


def test_broken_folders_are_told_as_far_as_they_can(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "config.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    (folder / "README.md").write_text("---\nlanguage: en\n---\nlicense: of the text, not of the head\n")
    assert facts_of(folder).keys() == {"size", "modified"}


def test_caches_of_hubs(workspace: Workspace, tmp_path: Path) -> None:
    model(tmp_path / "hub" / "models--org--name" / "snapshots" / "abc")
    model(tmp_path / "scope" / "models" / "qwen--base" / "snapshots" / "master")
    for earlier in ("models/qwen/base", "models/team/small-1___5", "hub/models/team/older", "hub/models/qwen/base"):
        model(tmp_path / "scope" / earlier)
    (tmp_path / "hub" / "models--org--half" / "snapshots" / "abc").mkdir(parents=True)
    items = Models(workspace).listed(kinds=("cached",))["items"]
    names = ["qwen/base", "team/older", "team/small-1.5"]
    assert [item["address"] for item in items] == ["org/name", *(f"modelscope://{name}" for name in names)]
    assert dict(finding.cached_models())["modelscope://qwen/base"].name == "master"
    assert items[0]["parameters"] == 3007 and "path" not in items[0]


def test_known_models_are_searched_by_words(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace.root / "conf").mkdir()
    entry = (
        "Mine-8x7B-Chat: {huggingface: org/mine, modelscope: team/mine-7b, template: chatml}\nOther-560M: org/other\n"
    )
    (workspace.root / "conf" / "models.yaml").write_text(entry)
    monkeypatch.chdir(workspace.root)
    models = Models(workspace)
    (found,) = models.listed("mine8x7b team", ("known",))["items"]
    assert found["hubs"] == {"huggingface": "org/mine", "modelscope": "team/mine-7b"} and found["template"] == "chatml"
    assert (found["parameters"], found["by_name"]) == (56_000_000_000, True)
    assert models.describe("org/mine")["name"] == "Mine-8x7B-Chat"
    assert models.listed("560m", ("known",))["items"][0]["parameters"] == 560_000_000
    page = models.listed(limit=1)
    assert len(page["items"]) == 1 and page["total"] >= 2
    assert models.listed(limit=1, offset=page["total"])["items"] == []


def test_one_that_nobody_lists(workspace: Workspace) -> None:
    models = Models(workspace)
    assert models.describe("org/name-1.5B") == {
        **{"address": "org/name-1.5B", "name": "org/name-1.5B", "kind": "hub"},
        **{"parameters": 1_500_000_000, "by_name": True},
    }
    with pytest.raises(OutsideWorkspace):
        models.describe("/etc")
    with pytest.raises(TunesmithError, match="is not there"):
        models.describe("./nothing")
