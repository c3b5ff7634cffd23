"""What a forward pass keeps, against what PyTorch saves for the backward pass."""

import dataclasses
import itertools

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from tunesmith_library_estimates.activations import AT_FIRST, AT_LAST, activations, activations_at_most
from tunesmith_library_estimates.architectures import decoder
from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.loaded import has_known_layers, loaded
from tunesmith_library_estimates.scores import Scores
from tunesmith_library_estimates.working import Extent

TOKENS, LAYERS = 331, 3  # a prime number of tokens, so that it is told from every width


SIZES = {
    **{"vocab_size": 128, "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": LAYERS},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "tie_word_embeddings": False},
}


def model_and_estimate(model_type, precision, bits, **options):
    sizes = {**SIZES, "head_dim": 40, **options}
    config = AutoConfig.for_model(model_type, **sizes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.to(torch.float32 if bits == 32 else torch.bfloat16)
    found = decoder(config.to_dict(), bits)
    estimate = Estimate(
        precision,
        found.weights,
        hidden_size=found.hidden_size,
        vocabulary=found.vocabulary,
        length=TOKENS,
        experts_per_token=found.experts_per_token,
    )
    return model, estimate


def train(model, estimate, chosen):
    """Train what `chosen` says by name, in the model and in the estimate."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(chosen(name))
    weights = tuple(dataclasses.replace(weight, trained=chosen(weight.name)) for weight in estimate.weights)
    return dataclasses.replace(estimate, weights=weights)


def with_lora(model, estimate, modules, rank=4):
    """Put LoRA beside some layers, in the model and in the estimate."""
    from peft import LoraConfig
    from tunesmith_library_adapting.adapters import adapt

    model = adapt(model, LoraConfig(r=rank, target_modules=modules, lora_dropout=0.0))
    for parameter in model.parameters():
        parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    beside = []
    for weight in estimate.weights:
        module = weight.name.removesuffix(".weight")
        if weight.kind == "linear" and module.rpartition(".")[2] in modules:
            out, into = weight.shape
            beside.append(Weight(f"{module}.lora_A.default.weight", (rank, into), "other", 32, True))
            beside.append(Weight(f"{module}.lora_B.default.weight", (out, rank), "other", 32, True))
    return model, dataclasses.replace(estimate, weights=(*estimate.weights, *beside))


def saved(model, autocast, whole=False):
    """Bytes that the layers save in a forward pass: of tensors with a row per token, and of copies of weights.

    Args:
        whole: the first is of all that is saved, copies of weights included.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(model.parameters(), model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), TOKENS in tensor.shape, tensor)
        return tensor

    model.train()
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(input_ids=torch.zeros(1, TOKENS, dtype=torch.long), use_cache=False, logits_to_keep=1)
    by_token = sum(size for size, per_token, _ in kept.values() if per_token or whole)
    rest = [(size, tensor) for size, per_token, tensor in kept.values() if not per_token]
    shapes = {tuple(sorted(parameter.shape)) for parameter in model.parameters() if parameter.ndim == 2}
    return by_token, sum(size for size, tensor in rest if tuple(sorted(tensor.shape)) in shapes)


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
OUTSIDE = 4 * 128 * TOKENS  # what is kept for the output layer, at most


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "qwen2", "gemma"])
@pytest.mark.parametrize("trained", ["full", "lora", "lora of some"])
def test_equals_what_pytorch_saves(model_type, autocast, trained):
    bits = 16 if autocast and trained != "full" else 32
    model, estimate = model_and_estimate(model_type, "bf16" if autocast else "fp32", bits)
    if trained == "full":
        estimate = train(model, estimate, lambda name: True)
    else:
        modules = ALL if trained == "lora" else ["q_proj", "v_proj", "down_proj"]
        model, estimate = with_lora(model, train(model, estimate, lambda name: False), modules)
    by_token, _ = saved(model, autocast)
    expected = activations(estimate, recomputes=False).bytes("forward")["activations"]
    assert by_token - OUTSIDE <= expected * 1.04 and expected <= by_token * 1.04, f"{expected / by_token:.3f}"


def test_layers_below_the_first_that_is_trained_keep_nothing():
    model, estimate = model_and_estimate("llama", "fp32", 32)
    estimate = train(model, estimate, lambda name: "layers.2." in name)
    by_token, _ = saved(model, autocast=False)
    expected = activations(estimate, recomputes=False).bytes("forward")["activations"]
    assert by_token - OUTSIDE <= expected * 1.04 and expected <= by_token * 1.04


def test_copies_of_trained_weights():
    """Under autocast each matrix that is trained in float32 is there in 16 bits too, as long as the graph is."""
    model, estimate = model_and_estimate("llama", "bf16", 32)
    _, copies = saved(model, autocast=True)
    expected = activations(train(model, estimate, lambda name: True), recomputes=False)
    of_output = 2 * 128 * 128  # whose logits are computed elsewhere in a training
    assert expected.bytes("forward")["weights in 16 bits"] == copies - of_output
    assert "weights in 16 bits" not in expected.bytes("step")


def test_gradient_checkpointing_keeps_inputs_and_one_layer():
    model, estimate = model_and_estimate("llama", "fp32", 32)
    estimate = train(model, estimate, lambda name: True)
    plain = activations(estimate, recomputes=False)
    every = plain.bytes("forward")["activations"]
    found = activations(estimate, recomputes=True)
    last_norm = (8 * 128 + 4) * TOKENS
    inputs = 4 * 128 * TOKENS
    assert found.bytes("forward")["activations"] == LAYERS * inputs + last_norm
    of_one = (every - last_norm) / LAYERS
    for phase, what in (("forward", AT_FIRST), ("backward", AT_LAST)):
        assert of_one < found.bytes(phase)[what] < 1.5 * of_one
    assert found.bytes("backward")[AT_LAST] == plain.bytes("backward")[AT_LAST] - inputs
    moved = activations(estimate, recomputes=True, offloads=True)
    assert moved.bytes("forward")["activations"] == last_norm
    assert moved.bytes("backward")[AT_LAST] == found.bytes("backward")[AT_LAST]


def by_name(estimate):
    return {weight.name: weight for weight in estimate.weights}


@pytest.mark.parametrize("model_type", ["llama", "gemma", "qwen2"])
def test_a_loaded_model_is_what_its_configuration_says(model_type):
    """Plain and with LoRA, whose names peft changes: the same weights, and the same activations to the byte."""
    model, planned = model_and_estimate(model_type, "fp32", 32, tie_word_embeddings=model_type == "gemma")
    planned = train(model, planned, lambda name: True)
    assert by_name(loaded(model, "fp32")) == by_name(planned)
    adapted, planned = with_lora(model, train(model, planned, lambda name: False), ALL)
    found = dataclasses.replace(loaded(adapted, "fp32"), length=TOKENS)
    assert by_name(found) == by_name(planned) and has_known_layers(adapted)
    assert activations(found, recomputes=False).memory == activations(planned, recomputes=False).memory


def test_a_loaded_mixture_is_what_its_configuration_says():
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    model, planned = model_and_estimate("qwen3_moe", "fp32", 32, **sizes)
    planned = train(model, planned, lambda name: True)
    found = loaded(model, "fp32")
    assert by_name(found) == by_name(planned) and found.experts_per_token == 2


def test_a_quantised_layer_is_a_matrix_in_few_bits():
    model, _ = model_and_estimate("llama", "fp32", 32)
    layer = model.model.layers[0].mlp.up_proj
    del layer.weight
    layer.register_buffer("packed", torch.zeros(320, 128 // 2, dtype=torch.uint8))
    layer.register_buffer("scales", torch.zeros(320, 128 // 64, dtype=torch.float16))
    found = by_name(loaded(model, "bf16"))["model.layers.0.mlp.up_proj.weight"]
    assert (found.shape, found.kind, found.bits, found.trained) == ((320, 128), "linear", 4.25, False)


MIXTURE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
DELTA_NET = {
    **{f"linear_{what}_head_dim": 32 for what in ("key", "value")},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "layer_types": ["linear_attention"] * LAYERS},
}
FORMS = {
    "phi3": {},
    "olmo2": {},
    "starcoder2": {},
    "gemma3_text": {},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "mixtral": {"num_local_experts": 8},
    "qwen3_moe": MIXTURE,
    "qwen3_5_text": DELTA_NET,
}


@pytest.mark.parametrize("model_type", FORMS)
@pytest.mark.parametrize("autocast", [False, True])
def test_forms_of_layers(model_type, autocast):
    """Matrices in one, norms after the layers, LayerNorm, short convolutions, fused experts, linear attention."""
    config = AutoConfig.for_model(model_type, **{**SIZES, "head_dim": 32, **FORMS[model_type]})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    kept, of_weights = saved(model, autocast, whole=True)
    found = dataclasses.replace(loaded(model, "bf16" if autocast else "fp32"), length=TOKENS)
    expected = activations(found, recomputes=False).bytes("forward")
    assert has_known_layers(model)
    assert (kept - of_weights - OUTSIDE) / 1.07 < expected["activations"] < 1.08 * kept


@pytest.mark.parametrize("model_type", ["phi3", "olmo2", "starcoder2", "lfm2"])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_bound_for_layers_of_any_form(model_type, autocast):
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(model_type, **{**SIZES, **FORMS[model_type]}), attn_implementation="sdpa"
    )
    kept, _ = saved(model, autocast)
    found = dataclasses.replace(loaded(model, "bf16" if autocast else "fp32"), length=TOKENS)
    bound = activations_at_most(found).bytes("forward")["activations"]
    assert kept < bound < 4 * kept, f"{bound / kept:.2f}"


def test_a_block_of_unknown_form_is_told():
    """Twice what goes in and comes out of its matrices, and that it is a bound."""
    shapes = {"model.layers.0.strange.one.weight": (12, 8), "model.layers.0.strange.two.weight": (8, 12)}
    weights = tuple(Weight(name, shape, "linear", 32, trained=True) for name, shape in shapes.items())
    found = activations(Estimate("fp32", weights, hidden_size=8, length=10), recomputes=False)
    (said,) = found.unknown
    assert "strange" in said and "bound" in said
    without_gradient = 4 * 8  # what goes into the first layer, where no embeddings learn
    assert found.bytes("forward")["activations"] == 10 * (2 * 4 * 40 - without_gradient)


def test_what_plugins_say_of_modules_counts():
    model, estimate = model_and_estimate("llama", "fp32", 32)
    estimate = train(model, estimate, lambda name: True)
    plain = activations(estimate, recomputes=False)
    keeping = {f"model.layers.{layer}.mlp.gate_proj": 100.0 for layer in range(LAYERS)}
    more = activations(dataclasses.replace(estimate, keeping=keeping), recomputes=False)
    added = more.bytes("forward")["activations"] - plain.bytes("forward")["activations"]
    assert added == pytest.approx(LAYERS * 100 * TOKENS)
    moved = activations(dataclasses.replace(estimate, keeps_on_host=True), recomputes=False)
    last_norm = (8 * 128 + 4) * TOKENS
    assert moved.bytes("forward")["activations"] == last_norm
    on_host = moved.bytes("forward", on_host=True)["activations on the host"]
    assert on_host == plain.bytes("forward")["activations"] - last_norm


def test_a_model_without_layers_says_so():
    strange = Estimate("bf16", (Weight("mixer.weight", (4, 4), "linear", 16),))
    (said,) = activations(strange, recomputes=False).unknown
    assert said.startswith("activations")
    assert activations(Estimate("bf16"), recomputes=False) == Estimate("bf16"), "a model without weights has said so"


LATENT = {"q_lora_rank": 48, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32}
WRITTEN_OUT = {
    "llama": ("eager", {}),
    "gemma2": ("per_sequence", {}),
    "gpt_oss": ("per_sequence", {"num_local_experts": 4, "num_experts_per_tok": 1}),
    "deepseek_v3": (
        "per_sequence",
        {**LATENT, "head_dim": 16, "first_k_dense_replace": LAYERS, "num_key_value_heads": 4},
    ),
}


@pytest.mark.parametrize("model_type", WRITTEN_OUT)
@pytest.mark.parametrize("autocast", [False, True])
def test_scores_of_attention_that_is_written_out(model_type, autocast):
    """With eager attention, a cap on scores, sinks, and on a CPU with values that are narrower than keys."""
    pytest.importorskip("tunesmith_library_training.attention").register()
    asked, options = WRITTEN_OUT[model_type]
    config = AutoConfig.for_model(model_type, **{**SIZES, "head_dim": 32, "intermediate_size": 64, **options})
    model = AutoModelForCausalLM.from_config(config, attn_implementation=asked)
    kept, of_weights = saved(model, autocast, whole=True)
    found = dataclasses.replace(loaded(model, "bf16" if autocast else "fp32"), length=TOKENS)
    expected = activations(found, recomputes=False)
    scores = expected.memory["activations"].bytes_per_pair * TOKENS**2
    assert scores > kept / 4
    assert (kept - of_weights - OUTSIDE) / 1.07 < expected.bytes("forward")["activations"] < 1.08 * kept
    again = activations(found, recomputes=True).memory
    assert again["activations"].bytes_per_pair == 0
    assert again[AT_LAST].bytes_per_pair > expected.memory["activations"].bytes_per_pair / LAYERS


def test_pairs_are_those_of_each_sequence():
    made = Estimate("fp32", sequences=3, length=10)
    assert made.pairs == 3 * 10**2
    known = dataclasses.replace(made, data=Extent(longest=(6, 4, 2, 1)))
    assert known.pairs == 6**2 + 4**2 + 2**2
    assert dataclasses.replace(known, padded=True).pairs == 3 * 6**2
    assert dataclasses.replace(known, scores=Scores(1, 1, across=True)).pairs == 12**2
    assert dataclasses.replace(made, merged=60, accumulated=4).pairs == 6 * 10**2
    by_texts = dataclasses.replace(made, data=Extent(most=(20, 4, 2, 1)))  # no more than a sequence may have
    assert by_texts.pairs == 10**2 + 4**2 + 2**2 and by_texts.tokens == 16
    pairs = dataclasses.replace(by_texts, sequences=4, per_example=2, padded=True)  # two of each example
    assert pairs.tokens == 4 * 10 and dataclasses.replace(pairs, data=Extent(most=(4, 2))).tokens == 4 * 4
    assert dataclasses.replace(by_texts, answers=Answers(3, 4, 6, in_step=3)).tokens == 3 * 10  # answers are as long
    assert dataclasses.replace(by_texts, sequences=300, data=Extent(most=(4,) * 256)).tokens == 300 * 10
    assert Estimate("fp32").pairs == 0
