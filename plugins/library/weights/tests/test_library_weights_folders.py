"""Folders that are to hold a model, and what they hold instead."""

import pytest
from tunesmith_library_weights.folders import adapter_problems, model_problems


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["adapter_config.json", "run.yaml"], "it holds an adapter: write adapter.path={folder}, and model.path for"),
        (["run.yaml"], "it is a run that has no result yet: tunesmith train {folder} resume=true"),
        (["a/config.json", "b/x"], "there are models inside: model.path={folder}/a"),
        (["confg.json"], "there is: confg.json   did you mean confg.json?"),
        ([], "there is: nothing"),
    ],
)
def test_a_folder_without_a_model_says_what_it_is(tmp_path, files, advice):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (problem,) = model_problems(str(tmp_path), "model.path")
    assert problem.key == "model.path" and problem.message == f"{tmp_path} holds no config.json, so no model."
    assert problem.advice.startswith(advice.format(folder=tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert model_problems(str(tmp_path), "model.path") == []


@pytest.mark.parametrize("address", ["org/name", "modelscope://org/name", None])
def test_what_is_not_here_is_not_looked_at(address):
    assert model_problems(address, "stage.reference") == adapter_problems(address, "stage.reference_adapter") == []


@pytest.mark.parametrize(
    ("name", "beside", "advice"),
    [
        (
            "m-Q8_0.gguf",
            "",
            "such a file is given in the place of a configuration: tunesmith chat {file}",
        ),
        ("m-Q8_0.gguf", "config.json", "the folder that it lies in holds a model: x={folder}"),
        ("model.safetensors", "config.json", "the folder that it lies in holds a model: x={folder}"),
        (
            "adapter_model.safetensors",
            "adapter_config.json",
            "the folder that it lies in holds an adapter: adapter.path=",
        ),
        ("pytorch_model.bin", "", "a model's folder has config.json beside its weights"),
    ],
)
def test_a_file_is_no_folder(tmp_path, name, beside, advice):
    for each in filter(None, (name, beside)):
        (tmp_path / each).touch()
    (problem,) = model_problems(str(tmp_path / name), "x")
    assert problem.message == f"{tmp_path / name} is a file; x names the folder of a model."
    assert problem.advice.startswith(advice.format(folder=tmp_path, file=tmp_path / name))


def test_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "models").mkdir()
    (problem,) = model_problems(f"{tmp_path}/model", "stage.reference")
    assert problem.key == "stage.reference" and problem.message == f"there is no folder {tmp_path}/model"
    assert problem.advice == f"in {tmp_path}: there is: models   did you mean models?"
    assert model_problems(f"{tmp_path}/a/b", "x")[0].advice == f"{tmp_path}/a does not exist"


def test_a_folder_without_an_adapter(tmp_path):
    (problem,) = adapter_problems(str(tmp_path), "stage.reference_adapter")
    assert problem.message == f"stage.reference_adapter={tmp_path} holds no adapter (no adapter_config.json)."
    (tmp_path / "adapter_config.json").touch()
    assert adapter_problems(str(tmp_path), "stage.reference_adapter") == []
    (tmp_path / "adapter_model.safetensors").touch()
    (problem,) = adapter_problems(str(tmp_path / "adapter_model.safetensors"), "adapter.path")
    assert problem.advice == f"it is a file; the folder that it lies in holds one: adapter.path={tmp_path}"


def test_what_no_hub_can_have_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_b_c").mkdir()
    (problem,) = model_problems("a b c", "model.path")
    assert "no id of a hub" in problem.message and "did you mean ./a_b_c?" in problem.advice
    assert len(model_problems("modelscope://org/'name'", "model.path")) == 1
    for fine in ("org/name", "hf://org/name-1.5_x", "gpt2"):
        assert model_problems(fine, "model.path") == []


@pytest.mark.parametrize("written", ["{bad", "[]"])
def test_a_config_that_cannot_be_read_is_a_problem(written, tmp_path):
    (tmp_path / "config.json").write_text(written)
    (problem,) = model_problems(str(tmp_path), "model.path")
    assert problem.key == "model.path" and "config.json cannot be read" in problem.message
