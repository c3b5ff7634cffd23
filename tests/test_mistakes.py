"""Mistakes that a newcomer makes, each with the message that is to lead out of it. Nothing heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOOD_DATA = [{"instruction": "Who are you?", "output": "A test."}]


@pytest.fixture
def project(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data set and a configuration that is right."""
    (tmp_path / "train.json").write_text(json.dumps(GOOD_DATA))
    config = f"""\
        model:
          path: {tiny_llama}
        template: chatml
        data:
          train:
            - path: train.json
              format: alpaca
        adapter:
          name: lora
          rank: 4
        trainer:
          max_steps: 1
        output_dir: out
        """
    (tmp_path / "run.yaml").write_text("\n".join(line[8:] for line in config.splitlines()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a training that must stop before torch is imported."""
    script = (
        "import sys; from tunesmith.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'datasets'} & set(sys.modules), 'too late'"
    )
    command = [sys.executable, "-c", script, "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def says(result: subprocess.CompletedProcess[str], *fragments: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    missing = [fragment for fragment in fragments if fragment not in result.stderr]
    assert not missing, f"{missing} not in:\n{result.stderr}"


def test_unknown_key_at_the_top(project: Path) -> None:
    replace(project / "run.yaml", "adapter:", "adaptor:")
    says(plan("run.yaml"), "adaptor is not a key", "did you mean adapter?", "run.yaml:8")


def test_unknown_option_of_a_plugin(project: Path) -> None:
    replace(project / "run.yaml", "rank: 4", "rnak: 4")
    says(plan("run.yaml"), "adapter=lora has no option rnak", "did you mean rank?", "run.yaml:10")


def test_unknown_key_inside_a_list(project: Path) -> None:
    replace(project / "run.yaml", "format: alpaca", "fromat: alpaca")
    says(plan("run.yaml"), "data.train[0]", "fromat", "did you mean format?", "run.yaml:7")


def test_wrong_type(project: Path) -> None:
    says(plan("run.yaml", "trainer.max_steps=many"), "trainer.max_steps cannot be 'many'", "type: int", "command line")


def test_unknown_plugin(project: Path) -> None:
    says(plan("run.yaml", "adapter=loar"), "no installed plugin provides adapter=loar", "did you mean lora?")


def test_hidden_plugins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_PLUGINS", "tunesmith-model-transformers,tunesmith-hub-local")
    result = plan("run.yaml")
    says(
        result,
        "TUNESMITH_PLUGINS=tunesmith-model-transformers,tunesmith-hub-local hides other plugins",
        "template=chatml (run.yaml:3)",
        "adapter=lora (run.yaml:9)",
        "unset it, or add ",
        "adapter.lora",
        "stage.sft",
    )
    assert "pip install" not in result.stderr, "what is hidden is installed"


def test_missing_file(project: Path) -> None:
    replace(project / "run.yaml", "path: train.json", "path: trian.json")
    says(plan("run.yaml"), "trian.json", "did you mean train.json?", "run.yaml:6")


def test_malformed_yaml(project: Path) -> None:
    replace(project / "run.yaml", "template: chatml", "template: [chatml")
    says(plan("run.yaml"), "run.yaml:4", "this is not YAML")


def test_malformed_json(project: Path) -> None:
    (project / "train.json").write_text('[{"instruction": "a", "output": "b"},\n {"instruction": "c" "output": "d"}]')
    says(plan("run.yaml"), "train.json", "line 2", "run.yaml:6")


def test_wrong_column_names(project: Path) -> None:
    (project / "train.json").write_text(json.dumps([{"question": "a", "answer": "b"}]))
    says(plan("run.yaml"), "instruction", "question", "answer", "columns", "run.yaml:")


def test_conflicting_options(project: Path) -> None:
    says(
        plan("run.yaml", "trainer.load_best_model_at_end=true", "trainer.eval_strategy=no"),
        "The best model cannot be known with eval_strategy=no",
        "trainer.eval_strategy=steps",
        "command line",
    )


@pytest.mark.parametrize(
    ("quantizer", "adapter", "message", "advice"),
    [
        (["quantizer=hqq"], "full", "adapter=full cannot train the few bits that quantizer=hqq stores", "adapter=lora"),
        (["quantizer=torchao"], "freeze", "adapter=freeze cannot train the few bits", "quantizer=null"),
        (
            ["quantizer=torchao", "quantizer.scheme=int8_dynamic_intx"],
            "lora",
            "quantizer.scheme=int8_dynamic_intx passes no gradient",
            "quantizer.qat=true",
        ),
        (["quantizer=torchao", "quantizer.qat=true"], "full", "cannot train for quantizer.scheme", "intx_weight_only"),
        (["quantizer=eetq", "precision=bf16"], "lora", "quantizer=eetq computes in fp16", "precision=fp16"),
    ],
)
def test_training_what_a_quantizer_cannot(
    project: Path, quantizer: list[str], adapter: str, message: str, advice: str
) -> None:
    replace(project / "run.yaml", "  rank: 4\n", "")
    says(plan("run.yaml", *quantizer, f"adapter={adapter}"), message, advice, "command line")


def test_unwritable_output(project: Path) -> None:
    (project / "file").write_text("in the way")
    says(plan("run.yaml", "output_dir=file/out"), "output_dir", "file")


def test_all_mistakes_are_reported_together(project: Path) -> None:
    replace(project / "run.yaml", "rank: 4", "rnak: 4")
    result = plan("run.yaml", "trainer.max_steps=many", "optimizer=adamw")
    says(result, "3 problems", "rnak", "many", "optimizer=adamw")


@pytest.mark.slow
def test_the_configuration_without_mistakes_trains(project: Path) -> None:
    command = [sys.executable, "-c", "from tunesmith.cli import main; main()", "train", "run.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (project / "out" / "adapter_config.json").is_file()
