"""Values of the model's own configuration, and the options of the balance loss: what is taken, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoConfig
from tunesmith import TunesmithError
from tunesmith.compose import compose
from tunesmith.traits import StageTraits
from tunesmith.validate import structured
from tunesmith_library_testing.parts import StubPlan, source_of
from tunesmith_model_transformers import Transformers
from tunesmith_model_transformers.consistency import inconsistencies
from tunesmith_model_transformers.overrides import known_keys


def load(folder: Path, **options):
    plugin = Transformers(path=str(folder), **options)
    return plugin.load_model(source=source_of(folder), processor=[0], quantization=None)


def test_values_reach_the_model(tiny_mixtures) -> None:
    """What stands in config.json, what is only in transformers' class, and a part of a mapping."""
    overrides = {"num_experts_per_tok": 1, "rms_norm_eps": 1e-3, "rope_parameters": {"rope_theta": 500.0}}
    model = load(tiny_mixtures["qwen3_moe"], config=overrides)
    assert model.model.layers[0].mlp.gate.top_k == 1
    assert model.model.norm.variance_epsilon == 1e-3
    assert model.config.rope_parameters == {"rope_theta": 500.0, "rope_type": "default"}
    frequencies = model.model.rotary_emb.inv_freq
    assert frequencies[1].item() == pytest.approx(500.0 ** (-2 / 16))


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss", "mixtral"])
def test_the_keys_are_those_of_transformers_own_class(tiny_mixtures, architecture) -> None:
    """Read without importing anything: every public field of the class is known."""
    folder = tiny_mixtures[architecture]
    fields = set(AutoConfig.from_pretrained(folder).to_dict()) - {"transformers_version"}
    assert not {name for name in fields - known_keys(folder) if not name.startswith("_")}


def test_an_unknown_key_is_a_problem_with_the_nearest(tiny_mixtures, tmp_path) -> None:
    folder = tiny_mixtures["qwen3_moe"]
    plugin = Transformers(path=str(folder), config={"num_expert_per_tok": 1, "hidden_size": 64})
    (problem,) = plugin.check(StubPlan({}))
    assert str(problem.key) == "model.config.num_expert_per_tok"
    assert "did you mean num_experts_per_tok?" in problem.advice
    assert Transformers(path="org/on-a-hub", config={"anything": 1}).check(StubPlan({})) == []
    with pytest.raises(TunesmithError, match=r"model.config.num_expert_per_tok(.|\n)*did you mean num_experts_per_tok"):
        load(folder, config={"num_expert_per_tok": 1})


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"num_attention_heads": 3}, "num_attention_heads"),  # 2 heads of keys
        ({"num_key_value_heads": 3}, "num_key_value_heads"),  # 4 heads
        ({"num_attention_heads": 8, "num_key_value_heads": 2}, None),
        ({"hidden_size": 62}, "hidden_size"),  # 4 heads
        ({"hidden_size": 62, "head_dim": 16}, None),
        ({"head_dim": 5}, "head_dim"),
        ({"head_dim": 0}, "head_dim"),
        ({"intermediate_size": -4}, "intermediate_size"),
        ({"pad_token_id": 5000}, "pad_token_id"),
        ({"vocab_size": 3000, "pad_token_id": 2999}, None),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok"),
        ({"hidden_act": "gelu"}, None),
    ],
)
def test_values_that_do_not_go_together(overrides, key) -> None:
    written = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512}
    config = {**written, "rope_parameters": {"rope_theta": 1e4}, **overrides}
    found = {str(problem.key).removeprefix("model.config.") for problem in inconsistencies(config, overrides)}
    assert found == ({key} if key else set())
    assert inconsistencies({**written, "num_key_value_heads": 3}, ["hidden_act"]) == [], "what was published stays"


def test_such_values_are_problems_of_the_plan_and_errors_in_words(tiny_llama) -> None:
    """Those that no plan can know are told with their key, where a library ends in a traceback."""
    problems = Transformers(path=str(tiny_llama), config={"num_attention_heads": 3}).check(StubPlan({}))
    assert {"is no multiple of" in problem.message for problem in problems} == {True}
    for config, text in (({"hidden_act": "foo"}, "hidden_act=foo .*KeyError"), ({"head_dim": 5}, "head_dim=5 is odd")):
        with pytest.raises(TunesmithError, match=text):
            load(tiny_llama, config=config, initialize="random")


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"num_experts_per_tok": "many"}, "model.config.num_experts_per_tok=many: .*expected int"),
        ({"num_hidden_layers": 3}, "with model.config.num_hidden_layers the model has 11 weights that are not stored"),
        ({"hidden_size": 32}, "with model.config.hidden_size the stored weights do not fit"),
    ],
)
def test_values_that_the_stored_weights_do_not_fit(tiny_mixtures, overrides, text) -> None:
    with pytest.raises(TunesmithError, match=text):
        load(tiny_mixtures["qwen3_moe"], config=overrides)


def test_a_stage_that_has_no_place_for_a_balance_loss() -> None:
    plugin = Transformers(path="org/name", router_aux_loss="on")
    without, having = SimpleNamespace(traits=StageTraits()), SimpleNamespace(traits=StageTraits(balances_experts=True))
    (problem,) = plugin.check(StubPlan({"stage": {"mine": without}}))
    assert str(problem.key) == "model.router_aux_loss" and "stage=mine has no place for it" in problem.message
    assert plugin.check(StubPlan({"stage": {"mine": having}})) == []
    plugin = Transformers(path="org/name", router_aux_loss="off", router_aux_loss_coef=0.1)
    (problem,) = plugin.check(StubPlan({"stage": {"mine": having}}))
    assert problem.severity == "warning" and "has no effect" in problem.message


@pytest.mark.parametrize("written", ["auto", "on", "off"])
def test_how_the_balance_loss_is_asked_for(written) -> None:
    """As it is typed on the command line: YAML's older versions would make a truth value of two of them."""
    found = compose(None, ["model.path=x", f"model.router_aux_loss={written}"]).tree["model"]
    options, problems = structured(Transformers, found, ("model",), "model=x")
    assert not problems and options["router_aux_loss"] == written
    _, problems = structured(Transformers, {"path": "x", "router_aux_loss_coef": -1.0}, ("model",), "model=x")
    assert [str(problem.key) for problem in problems] == ["model.router_aux_loss_coef"]


def test_a_mixture_of_experts_must_be_one(tiny_llama) -> None:
    with pytest.raises(TunesmithError, match="router_aux_loss=on: LlamaForCausalLM is no mixture of experts"):
        load(tiny_llama, router_aux_loss="on")
