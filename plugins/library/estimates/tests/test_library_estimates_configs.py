"""Where a model's config.json is found, what few bits it tells of, and what is made of an unknown architecture."""

import json
import threading
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from tunesmith_library_estimates import configs
from tunesmith_library_estimates.architectures import decoder, likeness
from tunesmith_library_estimates.configs import described
from tunesmith_library_estimates.estimation import Weight
from tunesmith_library_estimates.headers import weights_of_files
from tunesmith_library_estimates.stored import stored_in

MATRIX = Weight("model.layers.0.mlp.up_proj.weight", (512, 256), "linear", 16)
EXPERTS = Weight("model.layers.0.mlp.experts.down_proj", (4, 512, 256), "experts", 16)


def written(folder, name="config.json", **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(config), encoding="utf-8")
    return folder


class Hub:
    """A hub that has what it is given."""

    def __init__(self, kept=None, given=None, waits=None):
        self.kept, self.given, self.waits, self.asked = kept, given, waits, []

    def cached(self, address, revision):
        return self.kept

    def fetch(self, address, revision):
        self.asked.append((address, revision))
        if self.waits is not None:
            self.waits.wait()
        if self.given is None:
            raise OSError("no network\nand more")
        return self.given


def plan_with(hub):
    entry = SimpleNamespace(address="hub.huggingface")
    return SimpleNamespace(
        run=SimpleNamespace(default_hub="huggingface"), selected=[SimpleNamespace(entry=entry, instance=hub)]
    )


def test_of_a_folder_and_of_an_adapters_base(tmp_path):
    base = written(tmp_path / "base", hidden_size=3)
    run = written(tmp_path / "run", "adapter_config.json", base_model_name_or_path=str(base))
    assert described(str(base)).config == described(str(run)).config == {"hidden_size": 3}
    assert described(str(run)).folder == base
    (base / "config.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in described(str(base)).why
    assert described("org/name").why == "the config.json of org/name is not at hand"


def test_of_a_hub_from_its_cache_first(tmp_path):
    file = written(tmp_path, hidden_size=5) / "config.json"
    hub = Hub(kept=file)
    assert described("org/kept", plan_with(hub)).config == {"hidden_size": 5}
    assert hub.asked == []


def test_of_a_hub_that_is_asked_once(tmp_path):
    hub = Hub(given=written(tmp_path, hidden_size=7) / "config.json")
    for _ in range(2):
        assert described("org/given", plan_with(hub), "v2").config == {"hidden_size": 7}
    assert hub.asked == [("org/given/config.json", "v2")]
    assert described("org/none", plan_with(Hub())).why == "Hub: no network"


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(configs, "PATIENCE", 0.05)
    ends = threading.Event()
    told = described("org/slow", plan_with(Hub(waits=ends)))
    ends.set()
    assert told.config == {} and told.why.startswith("Hub did not give org/slow/config.json within")


@pytest.mark.parametrize(
    ("said", "weight", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, MATRIX, 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, MATRIX, 8 + 24 / 256),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, MATRIX, 4 + 20 / 64),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, MATRIX, 4.5),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, MATRIX, 4 + 8.125 / 64),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, MATRIX, 8 + 32 / 256),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, MATRIX, 8 + 32 / 128**2),
        ({"quant_method": "mxfp4"}, EXPERTS, 4.25),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 2, "group_size": 16}}}, MATRIX, 4.0),
    ],
)
def test_bits_of_stored_weights(said, weight, expected):
    assert stored_in({"quantization_config": said}).bits(weight) == expected


def test_bits_of_aqlm_are_what_its_tensors_take():
    said = {
        "quant_method": "aqlm",
        "nbits_per_codebook": 8,
        "num_codebooks": 2,
        "in_group_size": 8,
        "out_group_size": 1,
    }
    rows, columns = MATRIX.shape
    codes, books, scales = rows * columns // 8 * 2, 2 * 2**8 * 8 * 2, rows * 2  # bytes
    assert stored_in({"quantization_config": said}).bits(MATRIX) * MATRIX.count / 8 == codes + books + scales


def test_what_is_left_out_of_few_bits():
    groups = {"group_0": {"weights": {"num_bits": 4, "group_size": 32, "symmetric": True}}}
    said = {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head", "re:.*self_attn.*"]}
    found = stored_in({"quantization_config": said})
    assert (found.skip, found.bits(MATRIX)) == (("*self_attn*",), 4 + 16 / 32)
    assert stored_in({}) is stored_in({"quantization_config": {"quant_method": "new"}}) is None


def test_names_and_shapes_of_files(tmp_path):
    tensors = {
        "model.embed_tokens.weight": torch.zeros(7, 4, dtype=torch.bfloat16),
        "model.layers.0.norm.weight": torch.zeros(4),
        "model.layers.0.mix.in_proj.weight": torch.zeros(8, 4),
        "model.layers.0.experts.up": torch.zeros(2, 8, 4),
        "model.layers.0.packed": torch.zeros(3, 5, dtype=torch.uint8),
        "lm_head.weight": torch.zeros(7, 4),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    found = {weight.name: weight for weight in weights_of_files(tmp_path, 16)}
    assert {name: weight.shape for name, weight in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    kinds = {name.removesuffix(".weight").rpartition(".")[2]: weight.kind for name, weight in found.items()}
    assert kinds == {
        **{"embed_tokens": "embedding", "norm": "norm", "in_proj": "linear"},
        **{"up": "experts", "packed": "other", "lm_head": "head"},
    }
    assert (found["lm_head.weight"].bits, found["model.layers.0.packed"].bits) == (16, 8)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert weights_of_files(tmp_path, 16) == ()


def test_unknown_architectures_are_taken_for_known_ones():
    numbers = {"hidden_size": 64, "vocab_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = {"model_type": "new", "intermediate_size": 128, **numbers}
    found = likeness(config, 16)
    assert decoder(config, 16) is None
    assert (found.taken_for, found.weights) == ("llama", decoder({**config, "model_type": "llama"}, 16).weights)
    of_experts = likeness({**config, "n_routed_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2}, 16)
    assert (of_experts.taken_for, of_experts.experts_per_token) == ("glm4_moe", 2)
    assert likeness({"model_type": "new"}, 16) is None
    sees = likeness({"model_type": "new", "text_config": {**config, "model_type": "qwen3"}, "vision_config": {}}, 16)
    alone = decoder({**config, "model_type": "qwen3"}, 16)
    assert sees.taken_for == "qwen3" and sees.flops_per_token == alone.flops_per_token
    names = {weight.name for weight in sees.weights}
    assert names == {weight.name.replace("model.", "model.language_model.", 1) for weight in alone.weights}


def test_a_text_alone_is_read_from_a_model_that_also_sees():
    text = {"model_type": "qwen3_5_text", "hidden_size": 64, "vocab_size": 96, "num_hidden_layers": 4}
    config = {"model_type": "qwen3_5", "text_config": text}
    whole, alone = decoder(config, 16), decoder(config, 16, is_shown=False)
    assert {weight.stands_in for weight in whole.weights} == {"language", "vision", "projector"}
    assert {weight.stands_in for weight in alone.weights} == {"language"}
    assert {weight.name.replace("model.language_model.", "model.") for weight in whole.weights} >= {
        weight.name for weight in alone.weights
    }


def test_of_a_model_that_also_speaks_what_thinks_is_known():
    thinks = {
        "text_config": {"num_hidden_layers": 2},
        "vision_config": {"depth": 2},
        "audio_config": {"encoder_layers": 2},
    }
    found = likeness({"model_type": "qwen2_5_omni", "thinker_config": thinks}, 16)
    assert found.taken_for == "qwen2_5_omni_thinker"
    assert {weight.stands_in for weight in found.weights} == {"language", "vision", "audio", "projector"}
