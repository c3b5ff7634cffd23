"""Learning rates by part: which weights have which, and what is refused."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.rates import divide, rate_problems


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory):
    """LoRA beside the projector and the language model."""
    from transformers import AutoModelForImageTextToText

    folder = save_seeing_model(tmp_path_factory.mktemp("seeing") / "llava", "llava")
    targets = r".*(language_model.*q_proj|linear_1)"
    return get_peft_model(AutoModelForImageTextToText.from_pretrained(folder), LoraConfig(r=2, target_modules=targets))


def made(model):
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW([{"params": weights[::2], "weight_decay": 0.1}, {"params": weights[1::2]}], lr=1e-3)


def test_each_part_has_its_own_height_of_one_schedule(adapted) -> None:
    optimizer = made(adapted)
    decayed = {id(weight) for weight in optimizer.param_groups[0]["params"]}
    divide(optimizer, adapted, {"projector": 1e-5}, 1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    scheduler.step()
    names = {id(weight): name for name, weight in adapted.named_parameters()}
    seen = []
    for group in optimizer.param_groups:
        for weight in group["params"]:
            seen.append(names[id(weight)])
            expected = 5e-6 if "multi_modal_projector" in seen[-1] else 5e-4
            assert group["lr"] == pytest.approx(expected), seen[-1]
            assert (group["weight_decay"] == 0.1) is (id(weight) in decayed)
    assert sorted(seen) == sorted(name for name, weight in adapted.named_parameters() if weight.requires_grad)


def test_parts_that_are_missing_or_frozen_are_refused(adapted) -> None:
    with pytest.raises(TunesmithError, match=r"learning_rates\.vision: nothing of it is trained"):
        divide(made(adapted), adapted, {"vision": 1e-5}, 1e-3)
    with pytest.raises(TunesmithError, match=r"learning_rates=audio: this model has no such part"):
        divide(made(adapted), adapted, {"audio": 1e-5}, 1e-3)


def test_problems() -> None:
    options = Transformers(learning_rates={"visoin": 1e-5})
    (unknown,) = rate_problems(options, StubPlan({"trainer": {"transformers": options}}))
    assert "did you mean vision?" in unknown.advice
    options = Transformers(learning_rates={"vision": 1e-5})
    (grouped,) = rate_problems(options, StubPlan({"trainer": {"transformers": options}, "optimizer": {"muon": None}}))
    assert "groups the weights itself" in grouped.message
