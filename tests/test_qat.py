"""Training for few bits: whole weights are trained, saved and exported; what is served is stored in few bits."""

from pathlib import Path
from typing import Any

import pytest
from test_quantizers import configuration, loaded, logged

torch = pytest.importorskip("torch")


def scheme(name: str, bits: int) -> dict[str, Any]:
    return {"name": "torchao", "scheme": name, "bits": bits, "qat": True}


@pytest.mark.parametrize(
    "quantizer",
    [scheme("int8_dynamic_intx", 4), pytest.param(scheme("intx_weight_only", 2), marks=pytest.mark.slow)],
    ids=["8-bit inputs, 4-bit weights", "2-bit weights"],
)
def test_all_weights_are_trained_for_the_rounding(
    tmp_path: Path, tiny_llama: Path, tiny_bpe: Any, quantizer: dict[str, Any]
) -> None:
    """The loss that training last measured is the loss of the few bits that are loaded; the saved weights are whole."""
    import tunesmith
    from tunesmith_library_testing.parts import collate, load_plain, logits_of

    config = configuration(tmp_path, tiny_llama, "int8", trainer={"learning_rate": 3e-3})
    run = tunesmith.train({**config, "quantizer": quantizer, "adapter": "full"})
    losses = logged(run, "loss")
    assert len(losses) >= 20 and losses[-1] < 0.5 * losses[0]

    plain, served = load_plain(run), loaded(run)
    assert getattr(plain.config, "quantization_config", None) is None
    assert not torch.equal(logits_of(served, tiny_bpe), logits_of(plain, tiny_bpe)), "what is served was not rounded"
    assert torch.equal(logits_of(served, tiny_bpe), logits_of(loaded(run), tiny_bpe))
    _, data = tunesmith.show(run)
    held_out = next(iter(data.eval.values()))
    batch = collate([held_out[index] for index in range(len(held_out))])
    with torch.no_grad():
        logits = served(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
    assert loss.item() == pytest.approx(logged(run, "eval_loss")[-1], rel=1e-4)

    other = loaded(run, {"quantizer": "hqq"})  # what was trained whole is stored by any quantizer
    assert not torch.equal(logits_of(other, tiny_bpe), logits_of(served, tiny_bpe))

    with pytest.raises(tunesmith.TunesmithError, match=r"(?s)cannot merge into .*quantizer=null"):
        tunesmith.export(run, output_dir=tmp_path / "refused")
    whole = tunesmith.export(run, {"quantizer": None}, output_dir=tmp_path / "whole")
    assert torch.equal(logits_of(load_plain(whole), tiny_bpe), logits_of(plain, tiny_bpe))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantizer": scheme("intx_weight_only", 4), "adapter": {"name": "lora", "use_dora": True}}, "use_dora"),
        ({"quantizer": scheme("int8_weight_only", 4), "adapter": "full"}, "quantizer.qat=true cannot train for"),
        ({"quantizer": scheme("intx_weight_only", 4), "adapter": {"name": "lora", "init": "pissa"}}, "adapter.init"),
    ],
)
def test_what_the_rounding_does_not_go_with(changes: dict[str, Any], message: str) -> None:
    import tunesmith

    _, problems = tunesmith.plan(None, {"model.path": "org/model", "data.train": ["rows.json"], **changes})
    assert any(message in problem.message for problem in problems if problem.severity == "error"), problems


@pytest.mark.parametrize("adapter", ["full", "freeze", "llama_pro"])
def test_adapters_of_whole_weights_are_let_through(adapter: str) -> None:
    import tunesmith

    changes = {"quantizer": scheme("intx_weight_only", 4), "adapter": adapter}
    _, problems = tunesmith.plan(None, {"model.path": "org/model", "data.train": ["rows.json"], **changes})
    assert not any("few bits" in problem.message for problem in problems), problems
