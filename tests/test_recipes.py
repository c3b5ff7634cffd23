"""The recipes of conf/: each plans without a problem, and trains a tiny model on rows such as its comments name."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tunesmith_library_testing.parts import records

CONF = Path(__file__).parents[1] / "conf"
RECIPES = sorted(path.name for path in CONF.glob("*.yaml") if path.name not in ("datasets.yaml", "models.yaml"))
WORDS = ("tide", "whale", "harbour", "lamp", "rope", "stone", "seven", "letter")

FILES: dict[str, list[dict[str, Any]]] = {
    "my.json": [{"instruction": f"Say {word}.", "output": f"The {word}."} for word in WORDS * 8],
    "pairs.json": [
        {"instruction": f"Say {word}.", "chosen": f"The {word}.", "rejected": "I would rather not."}
        for word in WORDS * 4
    ],
    "marked.json": [
        {"instruction": f"Say {word}.", "output": f"{word} {number}", "kto_tag": number == 0}
        for word in WORDS
        for number in (0, 1)
    ],
    "problems.json": [{"instruction": f"{n} + {n} = ?", "output": str(2 * n)} for n in range(8)],
    "pictures.json": [
        {
            "messages": [
                {"role": "user", "content": "<image>Where is <ref-object>?"},
                {"role": "assistant", "content": f"At <bbox>, the {word}."},
            ],
            "images": ["navy.png"],
            "objects": {"ref": [word], "bbox": [[8, 4, 40, 30]]},
        }
        for word in WORDS * 4
    ],
    "corpus.jsonl": [{"text": f"The {word} was never seen again, whatever they said. " * 4} for word in WORDS * 4],
}
"""What the recipes are to be trained on, under the names that they give it."""

# so that two steps take a second: fewer and shorter sequences, ranks that fit a width of 64
SMALL: dict[str, Any] = {"stage.max_length": 64, "trainer.max_steps": 2, "trainer.gradient_accumulation_steps": 1}
SMALL_OF_STAGE: dict[str, dict[str, Any]] = {
    "ppo": {"stage.total_steps": 2, "stage.batch_size": 4, "stage.mini_batch_size": 2, "stage.max_new_tokens": 4},
    "rloo": {"stage.max_completion_length": 4, "trainer.max_steps": 2, "trainer.gradient_accumulation_steps": 1},
    "grpo": {"stage.max_completion_length": 4, "trainer.max_steps": 2, "trainer.gradient_accumulation_steps": 1},
}
SMALL_OF_SEEING = {**SMALL, "stage.max_length": 256, "trainer.dataloader_num_workers": 0}
SMALL_OF_OPTIMIZER = {"galore": {"optimizer.rank": 8}}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files that the recipes name."""
    monkeypatch.chdir(tmp_path)
    for name, rows in FILES.items():
        lines = "\n".join(map(json.dumps, rows))
        Path(name).write_text(lines if name.endswith("l") else json.dumps(rows))
    Image.new("RGB", (48, 32), "navy").save("navy.png")
    return tmp_path


def shows_images(recipe: str) -> bool:
    return "images" in (CONF / recipe).read_text(encoding="utf-8")


def replaced(recipe: str, model: Path) -> dict[str, Any]:
    """What a test has instead: the model, its template, and files for data of a hub."""
    import tunesmith

    overrides: dict[str, Any] = {"model.path": str(model), "template": "auto" if shows_images(recipe) else "chatml"}
    plan, _ = tunesmith.plan(CONF / recipe, {"model.path": str(model)})
    if not all(Path(entry["path"]).exists() for entry in plan.get("data.train")):
        overrides["data.train"] = ["my.json"]
    if plan.uses("parallel"):  # one per GPU, and there is none
        overrides |= {"parallel.processes": 1, "output_dir": "run"}
    return overrides


@pytest.mark.parametrize("recipe", RECIPES)
def test_plans_without_a_problem(recipe: str, tiny_llama: Path, files: Path) -> None:
    import tunesmith

    plan, problems = tunesmith.plan(CONF / recipe, replaced(recipe, tiny_llama))
    assert problems == []
    assert plan.name("stage") and plan.get("model.path") == str(tiny_llama)


@pytest.mark.parametrize("recipe", RECIPES)
def test_says_what_it_is_and_how_to_run_it(recipe: str) -> None:
    lines = (CONF / recipe).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ") and f"tunesmith train conf/{recipe}" in lines[1]
    assert all(len(line) <= 120 for line in lines)


def test_every_stage_has_a_recipe() -> None:
    from tunesmith.catalog import Catalog
    from tunesmith.compose import compose

    written = [compose(CONF / recipe).tree.get("stage", "sft") for recipe in RECIPES]
    stages = {stage if isinstance(stage, str) else stage["name"] for stage in written}
    assert stages == {entry.name for entry in Catalog.discover().entries() if entry.kind == "stage"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_trains(recipe: str, files: Path) -> None:
    """Two steps; what they leave is a run: weights, curves, and the configuration that repeats it."""
    pytest.importorskip("torch")
    import tunesmith
    from tunesmith_library_testing.seeing import save_seeing_model
    from tunesmith_library_testing.tiny import save_tiny_model

    if shows_images(recipe):
        base = save_seeing_model(files / "model", "qwen3_vl")
    else:
        base = save_tiny_model(files / "model", layers=4)  # as many as a recipe trains and leaves frozen
    overrides = {**replaced(recipe, base), "precision": "fp32", "output_dir": "run", "data.cache_dir": "cache"}
    plan, _ = tunesmith.plan(CONF / recipe, overrides)
    overrides |= SMALL_OF_SEEING if shows_images(recipe) else SMALL_OF_STAGE.get(plan.name("stage") or "", SMALL)
    overrides |= SMALL_OF_OPTIMIZER.get(plan.name("optimizer") or "", {})
    run = tunesmith.train(CONF / recipe, overrides)
    weights = list(run.glob("*.safetensors"))
    assert weights and (run / "loss.png").is_file()
    events = records(run)
    assert max(event["step"] for event in events if "loss" in event) == 2
    again, problems = tunesmith.plan(run / "run.yaml")
    assert again.name("stage") == plan.name("stage")
    assert [problem for problem in problems if problem.severity == "error"] == []
