"""The frequencies against the papers' formulas in float64, and the configuration against what transformers loads."""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError, hookimpl
from tunesmith.errors import ConfigError
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, logits_of, source_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_patch_rope_scaling import RopeScaling
from tunesmith_patch_rope_scaling.parameters import Scaling
from tunesmith_patch_rope_scaling.rebuilding import stretch

ORIGINAL = 256  # tokens that the models of these tests read
DIMENSION = 16  # of a head
THETA = 10000.0
SHORT = [1.0, 1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 2.0]
LONG = [1.0, 1.2, 1.7, 2.4, 3.1, 3.6, 3.9, 4.0]
TYPES: dict[str, dict[str, Any]] = {
    "linear": {},
    "dynamic": {},
    "yarn": {},
    "llama3": {},
    "longrope": {"short_factor": SHORT, "long_factor": LONG},
}


class TestRopeScaling(PatchSuite):
    plugin = RopeScaling
    options = {"factor": 4}
    keeps_function = False


class Loader:
    """The loading that the patch wraps."""

    @hookimpl
    def load_model(self, source: Any) -> Any:
        return load_plain(source.path, dtype={"fp32": "float32", "bf16": "bfloat16"}[source.precision])


def scaled(folder: Path, *, processor: Any = None, precision: str = "fp32", **options: Any) -> Any:
    """A model that is loaded through the patch."""
    source = source_of(folder, precision=precision)
    hook = TestRopeScaling().manager(Loader(), **{"factor": None, **options}).hook
    return hook.load_model(source=source, processor=processor, quantization=None)


@pytest.fixture(scope="module")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that reads 256 tokens."""
    return save_tiny_model(tmp_path_factory.mktemp("short") / "llama", max_position_embeddings=ORIGINAL)


def plain_frequencies() -> torch.Tensor:
    """θᵢ = b^(-2i/d), i = 0 … d/2-1."""
    return THETA ** -(torch.arange(0, DIMENSION, 2, dtype=torch.float64) / DIMENSION)


def expected_frequencies(kind: str, factor: float, tokens: int) -> torch.Tensor:
    """The frequencies of the papers in float64, for a text of so many tokens."""
    theta = plain_frequencies()
    if kind == "linear":  # position interpolation, equation 4: m -> m/s
        return theta / factor
    if kind == "dynamic":  # base b·(s·L'/L - (s-1))^(d/(d-2)) in texts of L' tokens over the original L
        growth = max(factor * tokens / ORIGINAL - (factor - 1), 1.0)
        base = THETA * growth ** (DIMENSION / (DIMENSION - 2))
        return base ** -(torch.arange(0, DIMENSION, 2, dtype=torch.float64) / DIMENSION)
    if kind == "longrope":
        return theta / torch.tensor(LONG if tokens > ORIGINAL else SHORT, dtype=torch.float64)
    turns = ORIGINAL * theta / (2 * math.pi)  # of a dimension over the original length, r in YaRN's section 3.2
    if kind == "llama3":
        share = ((turns - 1) / (4 - 1)).clamp(0, 1)
        return (1 - share) * theta / factor + share * theta

    def dimension_of(number: float) -> float:  # the one that turns so many times; YaRN's section A.2
        return DIMENSION * math.log(ORIGINAL / (2 * math.pi * number)) / (2 * math.log(THETA))

    low, high = max(math.floor(dimension_of(32)), 0), min(math.ceil(dimension_of(1)), DIMENSION - 1)
    ramp = ((torch.arange(DIMENSION // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    mixed = ramp * theta / factor + (1 - ramp) * theta
    # by whatever ramp between the two: equation 22 leaves r > β as it is and divides r < α
    assert torch.allclose(mixed[turns > 32], theta[turns > 32]) and (turns < 1).any()
    assert torch.allclose(mixed[turns < 1], theta[turns < 1] / factor)
    return mixed


@pytest.mark.parametrize("tokens", [100, 700])
@pytest.mark.parametrize("kind", TYPES)
def test_frequencies_are_those_of_the_papers(kind: str, tokens: int, short_model: Path) -> None:
    model = scaled(short_model, type=kind, factor=4, **TYPES[kind])
    with torch.no_grad():
        model(input_ids=torch.arange(tokens)[None] % 300, use_cache=False)
    expected = expected_frequencies(kind, 4.0, tokens)
    torch.testing.assert_close(model.model.rotary_emb.inv_freq.double(), expected, rtol=2e-6, atol=0)
    assert not torch.allclose(expected, plain_frequencies(), rtol=1e-3) or (kind, tokens) == ("dynamic", 100)


@pytest.mark.parametrize("kind", TYPES)
def test_frequencies_are_those_of_transformers(kind: str, short_model: Path) -> None:
    """ROPE_INIT_FUNCTIONS on a configuration that is written by hand."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    lists = TYPES[kind] | ({"low_freq_factor": 1.0, "high_freq_factor": 4.0} if kind == "llama3" else {})
    if kind in ("yarn", "llama3", "longrope"):
        lists["original_max_position_embeddings"] = ORIGINAL
    parameters = {"rope_type": kind, "rope_theta": THETA, "factor": 4.0, **lists}
    config = LlamaConfig(
        head_dim=DIMENSION, hidden_size=64, max_position_embeddings=ORIGINAL, rope_parameters=parameters
    )
    frequencies, attention = ROPE_INIT_FUNCTIONS[kind](config, device="cpu")
    rotary = scaled(short_model, type=kind, factor=4, **TYPES[kind]).model.rotary_emb
    assert torch.equal(rotary.inv_freq, frequencies) and rotary.attention_scaling == attention


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"type": "linear"}, 1.0),
        ({"type": "yarn"}, 0.1 * math.log(4) + 1),  # YaRN, equation 22
        ({"type": "yarn", "attention_factor": 1.5}, 1.5),
        ({"type": "yarn", "mscale": 1.0, "mscale_all_dim": 0.5}, (0.1 * math.log(4) + 1) / (0.05 * math.log(4) + 1)),
        ({"type": "longrope", **TYPES["longrope"]}, math.sqrt(1 + math.log(4) / math.log(ORIGINAL))),
    ],
)
def test_attention_factor(options: dict[str, Any], expected: float, short_model: Path) -> None:
    rotary = scaled(short_model, factor=4, **options).model.rotary_emb
    assert rotary.attention_scaling == pytest.approx(expected, rel=1e-12)
    cosine, _ = rotary(torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.long))
    assert cosine.max().item() == pytest.approx(expected, rel=1e-6)


def test_truncate_rounds_the_ramp(short_model: Path) -> None:
    """Without rounding the ramp is narrower: it begins later and ends earlier."""
    rounded, exact = (
        scaled(short_model, factor=4, truncate=truncate).model.rotary_emb.inv_freq.double()
        for truncate in (True, False)
    )
    low, high = (
        DIMENSION * math.log(ORIGINAL / (2 * math.pi * turns)) / (2 * math.log(THETA)) for turns in (32.0, 1.0)
    )
    ramp = ((torch.arange(DIMENSION // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    theta = plain_frequencies()
    torch.testing.assert_close(exact, ramp * theta / 4 + (1 - ramp) * theta, rtol=2e-6, atol=0)
    assert not torch.equal(rounded, exact)


@pytest.mark.parametrize(
    ("kind", "option", "narrow", "wide"),
    [
        ("yarn", "beta_fast", 8, 64),
        ("yarn", "beta_slow", 1, 8),
        ("llama3", "high_freq_factor", 4, 16),
        ("llama3", "low_freq_factor", 1, 3),
    ],
)
def test_bounds_of_the_ramp(kind: str, option: str, narrow: float, wide: float, short_model: Path) -> None:
    """A ramp that begins or ends at more turns divides more dimensions, and none less."""
    few, more = (
        scaled(short_model, type=kind, factor=4, **{option: value}).model.rotary_emb.inv_freq
        for value in (narrow, wide)
    )
    assert bool((more <= few).all()) and bool((more < few).any())


MLA = {
    "head_dim": 16,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 32,
}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {},
    "gpt_neox": {"rotary_pct": 1.0},
    "phi3": {"original_max_position_embeddings": ORIGINAL},
    "glm4": {"partial_rotary_factor": 1.0},
    "gemma3_text": {**LAYERS, "query_pre_attn_scalar": 16},
    "deepseek_v3": MLA,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope"])
def test_saved_model_is_loaded_to_the_same_numbers(architecture: str, kind: str, tmp_path: Path) -> None:
    """What transformers builds from the saved configuration computes the same to the bit, over long texts too."""
    more = {"max_position_embeddings": ORIGINAL, **ARCHITECTURES[architecture]}
    folder = save_tiny_model(tmp_path / "base", architecture=architecture, **more)
    options = dict(TYPES[kind])
    if architecture == "phi3" and kind != "longrope":
        with pytest.raises(TunesmithError, match=rf"phi3 does not take type={kind}: .*longrope"):
            scaled(folder, type=kind, factor=2)
        return
    if (architecture, kind) == ("deepseek_v3", "yarn"):
        options |= {"mscale": 1.0, "mscale_all_dim": 0.8}
    if (architecture, kind) == ("gemma3_text", "dynamic"):
        with pytest.raises(TunesmithError, match=r"type=dynamic cannot tell(.|\n)*yarn or linear"):
            scaled(folder, type=kind, factor=2)
        return
    model = scaled(folder, type=kind, max_length=2 * ORIGINAL, **options)
    model.save_pretrained(tmp_path / "scaled")
    ids = (torch.arange(2 * ORIGINAL) * 7 % 300)[None]
    with torch.no_grad():
        ours, loaded, plain = (
            other(input_ids=ids, use_cache=False).logits
            for other in (model, load_plain(tmp_path / "scaled"), load_plain(folder))
        )
    assert torch.equal(ours, loaded)
    assert not torch.equal(ours, plain)


def test_a_model_that_reads_images(tmp_path: Path) -> None:
    """The text model's configuration is scaled, with the sections of its positions kept."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    text = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": ORIGINAL,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": THETA},
    }
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2}
    model = AutoModelForImageTextToText.from_config(
        AutoConfig.for_model("qwen2_vl", text_config=text, vision_config=vision)
    ).eval()
    stretch(model, Scaling("yarn", target=4 * ORIGINAL)).save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    parameters = loaded.config.get_text_config().rope_parameters
    assert (parameters["rope_type"], parameters["mrope_section"]) == ("yarn", [2, 3, 3])
    ids = (torch.arange(2 * ORIGINAL) % 300)[None]
    with torch.no_grad():
        ours, theirs = (each(input_ids=ids, use_cache=False).logits for each in (model, loaded))
    assert torch.equal(ours, theirs)


def test_windows_keep_their_frequencies(tmp_path: Path) -> None:
    """Gemma 3: only the layers that look far back are scaled, and on top of the scaling that they came with."""
    parameters = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    }
    folder = save_tiny_model(
        tmp_path / "m", architecture="gemma3_text", max_position_embeddings=1024, rope_parameters=parameters, **LAYERS
    )
    plain, model = load_plain(folder), scaled(folder, type="linear", max_length=2048)
    before, after = plain.model.rotary_emb, model.model.rotary_emb
    assert torch.equal(before.sliding_attention_inv_freq, after.sliding_attention_inv_freq)
    torch.testing.assert_close(before.full_attention_inv_freq / 2, after.full_attention_inv_freq)
    assert model.config.rope_parameters["full_attention"]["factor"] == 16.0
    assert model.config.max_position_embeddings == 2048
    with pytest.raises(TunesmithError, match="does not read truncate=false of gemma3_text"):
        scaled(folder, type="yarn", max_length=2048, truncate=False)


@pytest.mark.parametrize(
    ("kind", "held"), [("linear", 256), ("dynamic", 256), ("yarn", 1024), ("llama3", 1024), ("longrope", 1024)]
)
def test_configuration_says_how_far_the_model_reads(kind: str, held: int, short_model: Path, tmp_path: Path) -> None:
    """As vLLM reads it: linear and dynamic multiply max_position_embeddings, yarn the original length."""
    scaled(short_model, type=kind, factor=4, **TYPES[kind]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    parameters = config["rope_parameters"]
    assert (parameters["rope_type"], parameters["factor"], parameters["rope_theta"]) == (kind, 4.0, THETA)
    assert config["max_position_embeddings"] == held
    assert parameters.get("original_max_position_embeddings") == (None if held == ORIGINAL else ORIGINAL)


def test_factor_follows_the_length(short_model: Path, caplog: pytest.LogCaptureFixture, tiny_bpe: Any) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    plugin = TestRopeScaling.make(factor=None, type="linear")
    assert plugin.check(plan=StubPlan({}, values={"stage.max_length": 640})) == []
    manager = TestRopeScaling().manager(Loader(), factor=None, type="linear")
    (registered,) = [each for each in manager.get_plugins() if isinstance(each, RopeScaling)]
    registered.configured(plan=StubPlan({}, values={"stage.max_length": 640}))
    tiny_bpe = copy.deepcopy(tiny_bpe)
    tiny_bpe.model_max_length = ORIGINAL
    model = manager.hook.load_model(source=source_of(short_model), processor=tiny_bpe, quantization=None)
    assert model.config.rope_parameters["factor"] == 2.5
    assert tiny_bpe.model_max_length == 640
    assert "rope factor: 2.5 (640 / 256 tokens)" in caplog.text
    assert "rope scaling: linear, factor 2.5 (reads 640 tokens, trained on 256)" in caplog.text


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("automatic", [True, False])
def test_a_scaled_model_is_not_scaled_again(
    kind: str, automatic: bool, short_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run's folder that holds a whole model is loaded through the patch that made it."""
    options: dict[str, Any] = {"type": kind, **TYPES[kind]}
    options |= {"max_length": 1024} if automatic else {"factor": 4.0}
    scaled(short_model, **options).save_pretrained(tmp_path / "once")
    scaled(tmp_path / "once", **options).save_pretrained(tmp_path / "twice")
    first, second = ((tmp_path / name / "config.json").read_text() for name in ("once", "twice"))
    assert first == second
    assert "replaces" not in caplog.text


def test_a_model_that_comes_scaled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Llama 3.1: the factor is over its original length; its own options stay with the same type."""
    own = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0, "high_freq_factor": 5.0, "rope_theta": 5e5}
    folder = save_tiny_model(
        tmp_path / "m", max_position_embeddings=2048, rope_parameters={**own, "original_max_position_embeddings": 256}
    )
    caplog.set_level(logging.INFO, "tunesmith")
    model = scaled(folder, type="yarn", max_length=2048)
    assert model.config.rope_parameters["rope_type"] == "llama3"
    assert "the model's own (llama3, factor 8; it reads 2048 tokens, 2048 are wanted)" in caplog.text
    model = scaled(folder, type="yarn", max_length=4096)
    wanted = {"rope_type": "yarn", "factor": 16.0, "rope_theta": 5e5, "original_max_position_embeddings": 256}
    assert model.config.rope_parameters == wanted
    assert "replaces the model's own: llama3, factor 8" in caplog.text
    model = scaled(folder, type="llama3", max_length=4096)
    assert model.config.rope_parameters["factor"] == 16.0 and model.config.max_position_embeddings == 4096


def test_nothing_to_scale_is_said(short_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = scaled(short_model, max_length=200)
    assert model.config.rope_parameters["rope_type"] == "default"
    assert "none; the model reads 256 tokens, 200 are wanted" in caplog.text


def test_other_numbers_keep_exact_frequencies(short_model: Path, tmp_path: Path) -> None:
    """In bfloat16 the frequencies stay float32, as transformers keeps them."""
    model = scaled(short_model, precision="bf16", factor=4)
    rotary = model.model.rotary_emb
    assert model.lm_head.weight.dtype == torch.bfloat16 and rotary.inv_freq.dtype == torch.float32
    model.save_pretrained(tmp_path)
    loaded = load_plain(tmp_path, dtype="bfloat16")
    ids = (torch.arange(600) % 300)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, loaded(input_ids=ids).logits)


def test_random_numbers_stay_as_they_were(short_model: Path) -> None:
    torch.manual_seed(3)
    load_plain(short_model)
    expected = torch.rand(4)
    torch.manual_seed(3)
    scaled(short_model, factor=4)
    assert torch.equal(torch.rand(4), expected)


def test_models_that_cannot_be_scaled(tmp_path: Path, short_model: Path) -> None:
    gpt = save_tiny_model(tmp_path / "gpt2", architecture="gpt2", n_embd=64, n_layer=2, n_head=4)
    with pytest.raises(TunesmithError, match=r"gpt2 has no rotary(.|\n)*leave the patch out"):
        scaled(gpt, factor=4)
    with pytest.raises(TunesmithError, match="has 3 numbers, the model 8 frequencies"):
        scaled(short_model, type="longrope", factor=4, short_factor=[1.0] * 3, long_factor=[1.0] * 3)
    with pytest.raises(TunesmithError, match="512 tokens are no more than the original 512"):
        scaled(short_model, max_length=512, original_max_position_embeddings=512)


def test_a_model_with_a_configuration_per_layer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers.models.granite_swa")
    folder = save_tiny_model(tmp_path / "m", architecture="granite_swa", max_position_embeddings=ORIGINAL)
    with pytest.raises(TunesmithError, match="GraniteSWARotaryEmbedding is built in a way of its own"):
        scaled(folder, factor=4)


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        ({"factor": 4.0, "max_length": 4096}, "max_length", "one of the two"),
        ({}, "factor", "neither factor, max_length nor stage.max_length"),
        (
            {"factor": 4.0, "type": "linear", "beta_fast": 16.0},
            "beta_fast",
            "it belongs to yarn; options of linear: none",
        ),
        ({"factor": 4.0, "type": "yarn", "low_freq_factor": 1.0}, "low_freq_factor", "it belongs to llama3"),
        ({"factor": 4.0, "beta_fast": 1.0, "beta_slow": 2.0}, "beta_fast", "beta_slow < beta_fast"),
        (
            {"factor": 4.0, "type": "llama3", "low_freq_factor": 5.0},
            "high_freq_factor",
            "low_freq_factor < high_freq_factor",
        ),
        ({"factor": 4.0, "mscale": 1.0}, "mscale_all_dim", "give mscale_all_dim too"),
        ({"factor": 4.0, "type": "longrope", "short_factor": SHORT}, "long_factor", "use type=yarn"),
        ({"factor": 4.0, "type": "longrope", "short_factor": [1.0], "long_factor": LONG}, "long_factor", "in each"),
    ],
)
def test_check(options: dict[str, Any], key: str, text: str) -> None:
    (problem,) = RopeScaling(**options).check(plan=StubPlan({}, command="chat"))
    assert problem.key == f"patch.rope_scaling.{key}" and problem.severity == "error"
    assert text in f"{problem.message} {problem.advice}"


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("factor", 1.0, "factor cannot be 1"),
        ("max_length", 0, "max_length cannot be 0"),
        ("beta_slow", 0.0, "beta_slow cannot be 0"),
        ("mscale", -1.0, "mscale cannot be -1"),
        ("short_factor", [1.0, 0.0], r"short_factor\[1\] cannot be 0"),
    ],
)
def test_ranges(option: str, value: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        TestRopeScaling.make(**{option: value})


def test_check_warns_of_dynamic_in_training() -> None:
    plugin = RopeScaling(type="dynamic", factor=4.0)
    (problem,) = plugin.check(plan=StubPlan({}))
    assert problem.severity == "warning" and "yarn or linear" in problem.advice
    assert plugin.check(plan=StubPlan({}, command="chat")) == []


def test_unpatched_logits_differ(short_model: Path, tiny_bpe: Any) -> None:
    """Position interpolation changes a short text's logits too, dynamic scaling does not."""
    plain = logits_of(load_plain(short_model), tiny_bpe)
    assert not torch.equal(logits_of(scaled(short_model, type="linear", factor=4), tiny_bpe), plain)
    assert torch.equal(logits_of(scaled(short_model, type="dynamic", factor=4), tiny_bpe), plain)
