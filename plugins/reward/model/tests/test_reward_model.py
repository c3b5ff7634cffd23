import shutil
from pathlib import Path

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import CHATML
from tunesmith_reward_model import RewardModel

PROMPT = [{"role": "user", "content": "Who counts the waves?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_bpe) -> Path:
    """A small random classifier with two outputs, and a tokenizer that carries a chat template."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    path = tmp_path_factory.mktemp("judge")
    config = AutoConfig.for_model(
        "llama",
        vocab_size=len(tiny_bpe),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=tiny_bpe.pad_token_id,
        num_labels=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(path)
    tiny_bpe.save_pretrained(path)
    carrying = AutoTokenizer.from_pretrained(path)
    carrying.chat_template = CHATML.exported
    carrying.save_pretrained(path)
    return path


def alone(folder: Path, tokenizer, answer: str) -> torch.Tensor:
    """The outputs for one conversation, by transformers alone."""
    from transformers import AutoModelForSequenceClassification

    text = CHATML.render([*PROMPT, {"role": "assistant", "content": answer}]).text
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    with torch.no_grad():
        return AutoModelForSequenceClassification.from_pretrained(folder).eval()(input_ids=ids).logits[0]


class TestRewardModel(RewardSuite):
    plugin = RewardModel
    options = {"path": "set by the fixture"}
    better = "Nobody counts them twice."
    worse = "Whales sing, the tide turns."

    @pytest.fixture(autouse=True)
    def _judge(self, folder, monkeypatch):
        reward = RewardModel(path=str(folder), device="cpu")
        first, second = reward.score(prompts=[list(PROMPT)] * 2, completions=[self.better, self.worse])
        monkeypatch.setattr(type(self), "options", {"path": str(folder), "device": "cpu"})
        if first < second:  # a random model's taste is either
            better, worse = self.worse, self.better
            monkeypatch.setattr(type(self), "better", better)
            monkeypatch.setattr(type(self), "worse", worse)


@pytest.mark.parametrize("output", [0, 1])
def test_it_is_the_models_output(folder, tiny_bpe, output):
    answers = ["Nobody.", "Whales sing, the tide turns, and nobody counts the waves twice.", ""]
    reward = RewardModel(path=str(folder), output=output, batch_size=2, device="cpu")
    scores = reward.score(prompts=[PROMPT] * 3, completions=answers)
    expected = [alone(folder, tiny_bpe, answer)[output].item() for answer in answers]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_clip(folder, tiny_bpe):
    value = alone(folder, tiny_bpe, "Nobody.")[0].item()
    reward = RewardModel(path=str(folder), clip=abs(value) / 2, device="cpu")
    assert reward.score(prompts=[PROMPT], completions=["Nobody."]) == pytest.approx([value / 2])


def test_what_cannot_be_a_reward_model(folder, tmp_path, tiny_bpe):
    with pytest.raises(TunesmithError, match="cannot be loaded"):
        RewardModel(path=str(tmp_path)).score(prompts=[PROMPT], completions=["a"])
    with pytest.raises(TunesmithError, match="outputs 0 to 1"):
        RewardModel(path=str(folder), output=2).score(prompts=[PROMPT], completions=["a"])


def test_an_adapter_without_its_run(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(TunesmithError, match=r"an adapter without its run(.|\n)*tunesmith export RUN"):
        RewardModel(path=str(tmp_path)).score(prompts=[PROMPT], completions=["a"])


def test_a_run_that_writes_text_is_no_judge(tiny_llama, tmp_path):
    """A run of another stage is loaded as what it is, and refused."""
    run = shutil.copytree(tiny_llama, tmp_path / "run")
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    (run / "chat_template.jinja").write_text(template)
    (run / "run.yaml").write_text(f"model: {{name: transformers, path: {tiny_llama}}}\nadapter: {{name: full}}\n")
    with pytest.raises(TunesmithError, match=r"writes text and gives no score(.|\n)*tunesmith-stage-reward"):
        RewardModel(path=str(run), device="cpu").score(prompts=[PROMPT], completions=["a"])


def test_values_out_of_range_are_refused():
    values = {"path": "judge", "output": -1, "batch_size": 0, "max_length": 0, "clip": 0.0}
    _, problems = structured(RewardModel, values, Key("reward", "model"), "reward=model")
    assert [str(problem.key) for problem in problems] == [f"reward.model.{name}" for name in values if name != "path"]
