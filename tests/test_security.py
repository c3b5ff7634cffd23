"""What SECURITY.md promises of models, templates and tokenizers that others made."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import tunesmith
from tunesmith import TunesmithError
from tunesmith.assemble import examine
from tunesmith.compose import compose
from tunesmith.types import ModelSource
from tunesmith_library_chat import ChatTemplate
from tunesmith_model_transformers import Transformers

ROOT = Path(__file__).parents[1]


def source(folder: Path) -> ModelSource:
    return ModelSource(folder, str(folder), "fp32", 0, training=False)


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A model of somebody's, to be changed."""
    return shutil.copytree(tiny_llama, tmp_path / "model")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("trusted", [False, True])
def test_code_of_a_model_is_run_only_when_it_is_trusted(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, trusted: bool
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    (model / "theirs.py").write_text(f"open({str(ran)!r}, 'w')\nraise RuntimeError('it ran')\n")
    described = json.loads((model / file).read_text())
    if file == "config.json":
        described |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Theirs"}}
    else:
        described |= {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": ["theirs.Theirs", None]}}
    (model / file).write_text(json.dumps(described))
    plugin = Transformers(path=str(model), trust_remote_code=trusted)
    with contextlib.suppress(TunesmithError, RuntimeError):
        plugin.load_processor(source=source(model))
        plugin.load_model(source=source(model), processor=None, quantization=None)
    assert ran.exists() == trusted


def test_a_strangers_run_does_not_have_the_code_of_its_model_run(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    (model / "theirs.py").write_text(f"open({str(ran)!r}, 'w')\nraise RuntimeError('it ran')\n")
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Theirs"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "run.yaml").write_text(f"model: {{path: {model}, trust_remote_code: true}}\n")
    for command in (tunesmith.open_model, tunesmith.export, tunesmith.train):
        with pytest.raises(TunesmithError, match=r"model\.trust_remote_code=true: a run's record says so"):
            command(model)
    with pytest.raises(TunesmithError, match=r"theirs\.py\), which is not run\.\n.*model\.trust_remote_code=true"):
        tunesmith.open_model(model, ["model.trust_remote_code=false"]).load()
    assert not ran.exists()
    with contextlib.suppress(TunesmithError, RuntimeError), caplog.at_level("INFO", "tunesmith"):
        tunesmith.open_model(model, ["model.trust_remote_code=true"]).load()
    assert ran.exists() and f"that of {model} is run (model.trust_remote_code=true)" in caplog.text


@pytest.mark.parametrize(
    "record",
    [
        "hub: {huggingface: {endpoint: 'http://theirs'}}",
        "reward: {http: {url: 'http://theirs', headers: {X: HF_TOKEN}}}",
        "reward: {function: {path: 'os:system'}}",
        "reward: {code: {isolation: none}}",
        "parallel: {name: ddp, master: 'theirs:1'}",
        "output_dir: /theirs",
        "output_dir: ../theirs",
        "overwrite: true",
        "model: {path: 'theirs/${oc.env:HF_TOKEN}'}",
    ],
)
def test_a_strangers_run_sends_and_writes_nothing_elsewhere(tmp_path: Path, record: str) -> None:
    stage = "stage: grpo\n" if record.startswith("reward") else ""
    path = "" if record.startswith("model") else "model: {path: org/name}\n"
    (tmp_path / "run.yaml").write_text(f"{path}{stage}{record}\n")
    _, problems, _ = examine(compose(tmp_path), "train")
    assert any("a run's record" in problem.message for problem in problems if problem.severity == "error")
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"{path}{stage}{record}\n")
    _, problems, _ = examine(compose(mine), "train")
    assert not any("a run's record" in problem.message for problem in problems)


def test_weights_are_read_from_safetensors_alone(model: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    with pytest.raises(TunesmithError, match="safetensors"):
        Transformers(path=str(model)).load_model(source=source(model), processor=None, quantization=None)


@pytest.mark.parametrize(
    "jinja",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ strftime_now.__code__.co_consts }}",
        "{{ messages.append('more') }}",
        "{% include '/etc/hostname' %}",
    ],
)
def test_templates_stay_in_their_sandbox(jinja: str) -> None:
    messages = [{"role": "user", "content": "hello"}]
    with pytest.raises(Exception, match=r"unsafe|no loader|is undefined") as raised:
        ChatTemplate("theirs", jinja, ()).render(messages)
    assert not isinstance(raised.value, AssertionError) and len(messages) == 1


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:tests|kernel|plugins)/[\w/.]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert len(named) > 4 and [path for path in sorted(named) if not (ROOT / path).exists()] == []
