"""Every stage: rows are examples or counted as left out, once; what weighs rows and tokens multiplies the loss."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_formats import tallying
from tunesmith_library_training.weighing import Rule

torch = pytest.importorskip("torch")

JINJA = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
TEMPLATE = ChatTemplate("small", JINJA, ("<|im_end|>",))


def stages() -> dict[str, type]:
    from tunesmith_stage_dpo import DirectPreference
    from tunesmith_stage_kto import KahnemanTversky
    from tunesmith_stage_orpo import OddsRatioPreference
    from tunesmith_stage_pretrain import Pretraining
    from tunesmith_stage_reward import RewardModelling
    from tunesmith_stage_sft import SupervisedFineTuning
    from tunesmith_stage_simpo import SimplePreference

    return {
        "sft": SupervisedFineTuning,
        "pretrain": Pretraining,
        "dpo": DirectPreference,
        "kto": KahnemanTversky,
        "orpo": OddsRatioPreference,
        "simpo": SimplePreference,
        "reward": RewardModelling,
    }


STAGES = ("sft", "pretrain", "dpo", "kto", "orpo", "simpo", "reward")
PAIRED = ("dpo", "orpo", "simpo", "reward")


def text(generator: random.Random, most: int) -> str:
    return " ".join(generator.choices(["tide", "whale", "鲸鱼", "sings", "🐋"], k=generator.randint(0, most)))


def row(generator: random.Random, stage: str) -> dict[str, Any]:
    """A row of a stage, now and then with an empty answer or question, or none."""
    asked = [{"role": "user", "content": text(generator, 30)}]
    answers = [[{"role": "assistant", "content": text(generator, 20)}] for _ in range(2)]
    if stage == "pretrain":
        return {"text": text(generator, 60)}
    if generator.random() < 0.1:
        return {"prompt": asked}
    if stage == "sft":
        return {"messages": asked + answers[0]}
    if stage == "kto":
        return {"prompt": asked, "completion": answers[0], "label": generator.random() < 0.5}
    return {"prompt": asked, "chosen": answers[0], "rejected": answers[1]}


@pytest.mark.parametrize("stage", STAGES)
def test_rows_are_examples_or_counted(tiny_bpe: Any, stage: str) -> None:
    generator = random.Random(3)
    cls = stages()[stage]
    for _ in range(6):
        rows = [row(generator, stage) for _ in range(generator.randint(2, 30))]
        most = generator.choice([4, 20, 60, 120, 10_000])
        for longer in ("split", "cut") if stage == "pretrain" else ("cut", "drop"):
            options = {"packing": False} if stage == "pretrain" else {}
            made = cls(max_length=most, longer=longer, **options)
            with tallying() as tally:
                columns = made.encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
            names = [name for name in columns if name.endswith("input_ids") and not name.startswith("kl_")]
            assert all(len(ids) <= most for name in names for ids in columns[name])
            assert tally.sizes.tokens == sum(len(ids) for name in names for ids in columns[name])
            labels = [columns[name.replace("input_ids", "labels")] for name in names]
            assert tally.sizes.trained == sum(label != -100 for each in labels for ids in each for label in ids[1:])
            if longer != "split":  # of which a long document gives several
                assert len(columns[names[0]]) == len(rows) - tally.lost
            if longer == "drop":
                assert tally.sizes.cut == tally.sizes.removed == 0


WEIGHTS = [0.5, 3.0, 1.0, 0.125]
BY_THEMSELVES = {"kto": {"loss": "apo_zero_unpaired"}}  # a stage whose loss of a row does not depend on the others


def answered(stage: str) -> list[dict[str, Any]]:
    """Four rows of which each teaches something."""
    asked = [{"role": "user", "content": "Who sings?"}]
    said = [[{"role": "assistant", "content": f"{'whale ' * (n + 1)}sings {n}"}] for n in range(8)]
    if stage == "sft":
        return [{"messages": asked + said[n]} for n in range(4)]
    if stage == "kto":
        return [{"prompt": asked, "completion": said[n], "label": n % 2 == 0} for n in range(4)]
    return [{"prompt": asked, "chosen": said[n], "rejected": said[7 - n]} for n in range(4)]


def model_of(stage: str, folder: Path, tokenizer: Any) -> Any:
    from transformers import AutoModelForCausalLM
    from tunesmith_stage_reward.classifier import score_every_token, to_classifier

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if stage == "reward":
        model = to_classifier(model, tokenizer)
        score_every_token(model)
    return model


class Computed:
    """A stage's losses of rows, without gradients; what has a reference is told -3 of each answer."""

    def __init__(self, stage: str, model: Any, tokenizer: Any, rows: list[dict[str, Any]], **options: Any) -> None:
        self.stage, self.model = stages()[stage](**options), model
        self.columns = self.stage.encode(rows=rows, processor=tokenizer, template=TEMPLATE)
        if hasattr(self.stage, "reference_log_probs"):
            log_probs = self.stage.reference_log_probs
            self.stage.reference_columns = lambda model, batch: {
                name: torch.full_like(value, -3.0) for name, value in log_probs(model, batch).items()
            }

    def loss(self, *which: int, padding_free: bool = True) -> Any:
        examples = [{name: values[index] for name, values in self.columns.items()} for index in which]
        with torch.no_grad():
            batch = self.stage.collate(examples=examples, padding_free=padding_free, processor=None)
            return self.stage.compute_loss(model=self.model, batch=batch)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "pretrain"])
def test_rows_weigh(tiny_llama: Path, tiny_bpe: Any, stage: str) -> None:
    """The loss is Σ w·l, divided by Σ w: l is a row's by itself. All of weight 1 are as those without, to the bit."""
    rows, options = answered(stage), BY_THEMSELVES.get(stage, {})
    model = model_of(stage, tiny_llama, tiny_bpe)
    plain = Computed(stage, model, tiny_bpe, rows, **options)
    ones = Computed(stage, model, tiny_bpe, [{**row, "weight": 1.0} for row in rows], row_weights=True, **options)
    weighed = [{**row, "weight": weight} for row, weight in zip(rows, WEIGHTS, strict=True)]
    by_row = Computed(stage, model, tiny_bpe, weighed, row_weights=True, **options).loss(0, 1, 2, 3)
    together, same = plain.loss(0, 1, 2, 3), ones.loss(0, 1, 2, 3)
    assert torch.equal(together.loss, same.loss) and float(together.num_items) == float(same.num_items)
    alone = [plain.loss(index) for index in range(4)]

    def expected(values: list[Any]) -> float:
        return sum(weight * float(value) for weight, value in zip(WEIGHTS, values, strict=True))

    assert float(by_row.num_items) == pytest.approx(expected([each.num_items for each in alone]), rel=1e-6)
    assert float(by_row.loss) == pytest.approx(expected([each.loss for each in alone]), rel=1e-5)
    for name, value in by_row.metrics.items():
        if value.dim() == 0 and name != "kl":
            wanted = expected([each.metrics[name] for each in alone])
            assert float(value) == pytest.approx(wanted, rel=1e-4, abs=1e-6), name


def test_rows_of_weight_0_are_left_out(tiny_bpe: Any) -> None:
    rows = [{**row, "weight": float(index % 2)} for index, row in enumerate(answered("sft"))]
    for options, kept in (({"row_weights": True}, 2), ({}, 4)):
        with tallying() as tally:
            columns = stages()["sft"](**options).encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
        assert len(columns["labels"]) == kept == 4 - tally.lost
        said = "have the weight 0 and are left out" if options else "have a weight, which is not used"
        assert [share.count for what, share in tally.shares.items() if what.startswith(said)] == [2]


RULES = [Rule(pattern="whale", weight=2.5), Rule(part="end", weight=0.25), Rule(pattern="sings ", weight=0.0)]


def log_probs(model: Any, tokenizer: Any, row: dict[str, Any], answer: str) -> tuple[Any, Any]:
    """Of an answer's tokens that are trained the log-probabilities and weights, float64, from the text alone."""
    asked = row.get("prompt") or row["messages"][:1]
    said = (row.get(answer) or row["messages"][1:])[-1]["content"]
    head = f"<|im_start|>user\n{asked[0]['content']}<|im_end|><|im_start|>assistant\n"
    encoding = tokenizer(head + said + "<|im_end|>", add_special_tokens=False, return_offsets_mapping=True)
    ids = torch.tensor([encoding.input_ids])
    weights = [0.0] * len(encoding.input_ids)
    for index, (start, end) in enumerate(encoding.offset_mapping):
        piece = (head + said + "<|im_end|>")[start:end]
        if start >= len(head) and piece:
            weights[index] = 1.0
            if any(place < end - len(head) and place + 5 > start - len(head) for place in places(said, "whale")):
                weights[index] = 2.5
            if piece == "<|im_end|>":
                weights[index] = 0.25
            if any(place < end - len(head) and place + 6 > start - len(head) for place in places(said, "sings ")):
                weights[index] = 0.0
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].double()
    values = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return values, torch.tensor(weights[1:], dtype=torch.float64)


def places(text: str, word: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(word, at)]


@pytest.mark.parametrize("padding_free", [True, False])
def test_rules_weigh_the_tokens_of_a_conversation(tiny_llama: Path, tiny_bpe: Any, padding_free: bool) -> None:
    """Σ w·(-log p) over Σ w, in closed form."""
    rows, model = answered("sft"), model_of("sft", tiny_llama, tiny_bpe)
    found = Computed("sft", model, tiny_bpe, rows, weights=RULES).loss(0, 1, 2, 3, padding_free=padding_free)
    every = [log_probs(model, tiny_bpe, row, "messages") for row in rows]
    assert found.num_items == pytest.approx(sum(float(weights.sum()) for _, weights in every))
    expected = -sum(float((values * weights).sum()) for values, weights in every)
    assert float(found.loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("stage", ["dpo", "simpo", "orpo"])
def test_rules_weigh_the_tokens_of_answers(tiny_llama: Path, tiny_bpe: Any, stage: str) -> None:
    """DPO -log σ(β(Σ w·(log p - log r) over the chosen less the rejected)); SimPO and ORPO of Σ w·log p / Σ w."""
    rows, model = answered(stage), model_of(stage, tiny_llama, tiny_bpe)
    found = Computed(stage, model, tiny_bpe, rows, weights=RULES).loss(0, 1, 2, 3)
    expected = 0.0
    for row in rows:
        (chosen, by_chosen), (rejected, by_rejected) = (
            log_probs(model, tiny_bpe, row, name) for name in ("chosen", "rejected")
        )
        sums = (chosen * by_chosen).sum(), (rejected * by_rejected).sum()
        means = sums[0] / by_chosen.sum(), sums[1] / by_rejected.sum()
        if stage == "dpo":  # the reference says -3 of both
            expected += -torch.nn.functional.logsigmoid(0.1 * (sums[0] - sums[1]))
        elif stage == "simpo":
            expected += -torch.nn.functional.logsigmoid(2.0 * (means[0] - means[1]) - 1.0)
        else:
            odds = [mean - torch.log1p(-mean.exp()) for mean in means]
            expected += -means[0] - 0.1 * torch.nn.functional.logsigmoid(odds[0] - odds[1])
    assert float(found.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "orpo", "simpo"])
def test_rules_of_weight_1_change_nothing(tiny_llama: Path, tiny_bpe: Any, stage: str) -> None:
    model, options = model_of(stage, tiny_llama, tiny_bpe), BY_THEMSELVES.get(stage, {})
    plain, ruled = (
        Computed(stage, model, tiny_bpe, answered(stage), weights=rules, **options).loss(0, 1, 2, 3)
        for rules in ([], [Rule(weight=1.0), Rule(pattern="whale", weight=1.0)])
    )
    assert torch.equal(plain.loss, ruled.loss) and float(plain.num_items) == float(ruled.num_items)
