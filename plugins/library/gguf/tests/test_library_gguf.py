"""What is written of a model, beside closed forms, transformers' own numbers, and what the file is read back as."""

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_library_gguf.checking import held
from tunesmith_library_gguf.families import FAMILIES, refuse
from tunesmith_library_gguf.kinds import KINDS, merged_in
from tunesmith_library_gguf.models import model_of
from tunesmith_library_gguf.parameters import parameters
from tunesmith_library_gguf.pieces import pieces_of
from tunesmith_library_gguf.plans import architecture_problems, cutting_problems, kind_problems
from tunesmith_library_gguf.pretokenizers import pre_tokenizer_of, pre_tokenizers
from tunesmith_library_gguf.tensors import interleaved, llama3_factors
from tunesmith_library_gguf.tokens import unnormalised, vocabulary
from tunesmith_library_gguf.writing import write_model
from tunesmith_library_testing.parts import StubPlan

LLAMA = {
    **{"model_type": "llama", "hidden_act": "silu", "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"hidden_size": 64, "intermediate_size": 128, "vocab_size": 320, "max_position_embeddings": 512},
    **{"rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
}


def test_interleaved_heads_attend_as_halved_ones() -> None:
    """Rotating neighbours of the new rows gives the products that rotating halves of the old ones gives."""
    torch.manual_seed(0)
    queries, keys = (torch.randn(32, 8, dtype=torch.float64) for _ in range(2))  # two heads of 16
    inputs, places = torch.randn(5, 8, dtype=torch.float64), torch.arange(5)
    angles = places[:, None] / 10000.0 ** (torch.arange(0, 16, 2) / 16)
    rotation = torch.polar(torch.ones_like(angles), angles)[:, None]

    def halved(rows: torch.Tensor) -> torch.Tensor:
        found = (inputs @ rows.T).view(5, 2, 2, 8)
        return torch.complex(found[:, :, 0], found[:, :, 1]) * rotation

    def neighbours(rows: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex((inputs @ rows.T).view(5, 2, 8, 2)) * rotation

    expected = torch.einsum("ihd,jhd->hij", halved(queries), halved(keys).conj()).real
    found = torch.einsum("ihd,jhd->hij", neighbours(interleaved(queries, 2)), neighbours(interleaved(keys, 2)).conj())
    torch.testing.assert_close(found.real, expected)


def test_llama3_factors_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(hidden_size=512, num_attention_heads=4, rope_parameters=rope)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1.0 / 500000.0 ** (torch.arange(0, 128, 2, dtype=torch.float32) / 128)
    factors = torch.tensor(llama3_factors(rope, 128))
    torch.testing.assert_close(factors, plain / scaled, rtol=1e-5, atol=0)
    assert {1.0, 8.0} < {round(float(factor), 4) for factor in factors}, "fast, slow, and some between"


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8_0"])
def test_a_file_holds_the_model(tiny_llama: Path, tmp_path: Path, kind: str) -> None:
    model, weights = model_of(tiny_llama, "tiny"), load_file(tiny_llama / "model.safetensors")
    write_model(tmp_path / "model.gguf", model, kind)
    found = held(tmp_path / "model.gguf", model)
    assert not found.problems and sum(found.types.values()) == len(weights)
    assert found.types == {"F32": 5, kind.upper(): 16} if kind != "f32" else {"F32": 21}
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    up = tensors["blk.1.ffn_up.weight"]
    values = gguf.quants.dequantize(up.data, up.tensor_type)
    digits = {"f32": 0.0, "bf16": 2**-8, "q8_0": 1 / 127}[kind]
    expected = weights["model.layers.1.mlp.up_proj.weight"].numpy()
    assert np.abs(values - expected).max() <= digits * np.abs(expected).max()


def test_what_is_damaged_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    model, file = model_of(tiny_llama, "tiny"), tmp_path / "model.gguf"
    write_model(file, model, "q8_0")
    whole = file.read_bytes()
    damaged = {
        b"blk.1.ffn_up.weight": (b"blk.1.ffn_ub.weight", "1 tensors are missing in the file, such as blk.1.ffn_up"),
        b"<|im_end|>": (b"<|im_ned|>", "tokenizer.ggml.tokens is another in the file: item 4 is '<|im_ned|>'"),
    }
    for there, (instead, said) in damaged.items():
        file.write_bytes(whole.replace(there, instead, 1))
        assert any(problem.startswith(said) for problem in held(file, model).problems), said
    place = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == "token_embd.weight").data_offset
    file.write_bytes(whole[:place] + b"\x00\x7c" + whole[place + 2 :])  # the scale of one block is infinite
    assert held(file, model).problems == (
        "1 tensors have other values than rounding makes of the model's, such as token_embd.weight",
    )


def test_float16_has_no_room(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "large")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(TunesmithError, match=r"(?s)blk\.0\.ffn_up\.weight holds values beyond.*type=bf16"):
        write_model(tmp_path / "model.gguf", model_of(folder, "large"), "f16")


def test_a_full_disk_is_said(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", full)
    with pytest.raises(TunesmithError, match=r"model\.gguf could not be written: No space left .*are needed"):
        write_model(tmp_path / "model.gguf", model_of(tiny_llama, "tiny"), "f32")


def test_a_weight_without_a_place_is_not_lost(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "more")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {**weights, "model.layers.0.memory.weight": torch.ones(4)}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(TunesmithError, match=r"model\.layers\.0\.memory\.weight has no place in .* architecture llama"):
        model_of(folder, "more")


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("llama", {"hidden_act": "gelu"}, "the activation is gelu, and silu there"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type=dynamic"),
        ("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob is False, and True there"),
        ("qwen2_moe", {"mlp_only_layers": [0], "norm_topk_prob": False}, "some layers have no experts"),
        ("gemma2", {"query_pre_attn_scalar": 256, "hidden_act": "gelu"}, "query_pre_attn_scalar is 256, and 16 there"),
        ("gemma", {"tie_word_embeddings": False, "hidden_act": "gelu"}, "another than the embeddings"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(kind: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(TunesmithError, match=rf"(?s){said}.*nothing was written"):
        refuse(LLAMA | more, FAMILIES[kind])


def test_windows_that_are_not_the_architectures_are_written() -> None:
    config = LLAMA | {"head_dim": 16, "sliding_window": 32, "num_hidden_layers": 3}
    usual = ["sliding_attention", "full_attention", "sliding_attention"]
    assert "gemma2.attention.sliding_window_pattern" not in parameters(
        config | {"layer_types": usual}, FAMILIES["gemma2"]
    )
    said = parameters(config | {"layer_types": usual[::-1][1:] + usual[:1]}, FAMILIES["gemma2"])
    assert said["gemma2.attention.sliding_window_pattern"] == [False, True, True]


# ---- vocabularies --------------------------------------------------------------------------------------------------


def test_the_way_of_cutting_is_found(tiny_bpe: Any) -> None:
    backend = tiny_bpe.backend_tokenizer
    said = json.loads(backend.to_str())
    assert pre_tokenizer_of(backend, said) == "gpt-2"
    assert pre_tokenizer_of(backend, said, "qwen2") == "qwen2"
    with pytest.raises(TunesmithError, match=r"(?s)pre_tokenizer=gpt2 is none.*gpt-2"):
        pre_tokenizer_of(backend, said, "gpt2")
    other = {**said, "pre_tokenizer": {"type": "Whitespace"}}
    with pytest.raises(TunesmithError, match=r"(?s)  Whitespace\n.*exporter\.gguf\.pre_tokenizer="):
        pre_tokenizer_of(backend, other)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), [("llama3", "llama-bpe"), ("qwen", "qwen2")])
def test_the_way_of_published_tokenizers(real_files: Path, name: str, way: str) -> None:
    """By the tokens of the fixed text, and by the rule, which a vocabulary of one's own leaves."""
    from tokenizers import Tokenizer

    file = real_files / "tokenizers" / name / "tokenizer.json"
    backend, said = Tokenizer.from_file(str(file)), json.loads(file.read_text())
    assert pre_tokenizer_of(backend, said) == way

    class Other:
        def encode(self, text: str) -> Any:
            return backend.encode("x")

    assert pre_tokenizer_of(Other(), said) == way and way in pre_tokenizers()


def test_tokens_types_and_ends(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    end = tiny_bpe.convert_tokens_to_ids("<|im_end|>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [tiny_bpe.eos_token_id, end]}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    said = vocabulary(folder, len(tiny_bpe) + 2)
    tokens = said["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list) and tokens[:5] == tiny_bpe.convert_ids_to_tokens(range(5))
    assert tokens[-2:] == [f"[PAD{len(tiny_bpe)}]", f"[PAD{len(tiny_bpe) + 1}]"]
    assert said["tokenizer.ggml.token_type"] == [3] * 5 + [1] * (len(tiny_bpe) - 5) + [5] * 2
    assert (said["tokenizer.ggml.eos_token_id"], said["tokenizer.ggml.eot_token_id"]) == (tiny_bpe.eos_token_id, end)
    assert said["tokenizer.chat_template"] == "{{ messages }}" and said["tokenizer.ggml.add_bos_token"] is False
    with pytest.raises(TunesmithError, match="has no row in the embeddings"):
        vocabulary(folder, len(tiny_bpe) - 1)


def test_pieces_are_read_from_their_file(tmp_path: Path) -> None:
    def message(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    piece = message(1, "\u2581sea".encode()) + b"\x15" + struct.pack("<f", -7.5) + b"\x18\x01"
    file = tmp_path / "tokenizer.model"
    file.write_bytes(message(1, message(1, b"<unk>") + b"\x18\x02") + message(1, piece) + message(2, b"\x18\x02"))
    first, second = pieces_of(file)
    assert (first.text, first.kind) == ("<unk>", 2)
    assert (second.text, second.score, second.kind) == ("\u2581sea", -7.5, 1)
    for broken in (b"", b"{}", message(1, b"\x0a\xff")):
        file.write_bytes(broken)
        with pytest.raises(TunesmithError, match="is no SentencePiece model"):
            pieces_of(file)


def test_pieces_score_by_their_merges(tmp_path: Path) -> None:
    """Where there is no tokenizer.model: what an earlier merge makes is merged earlier."""
    from tunesmith_library_testing.gguf_models import piece_tokenizer

    tokenizer = piece_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    said = vocabulary(tmp_path, len(tokenizer))
    assert said["tokenizer.ggml.model"] == "llama" and said["tokenizer.ggml.add_space_prefix"] is False
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), rank)
    scores = said["tokenizer.ggml.scores"]
    assert isinstance(scores, list)
    by_score = sorted(ranks, key=lambda token: scores[tokenizer.convert_tokens_to_ids(token)], reverse=True)
    assert by_score == sorted(ranks, key=ranks.__getitem__)
    types = said["tokenizer.ggml.token_type"]
    assert isinstance(types, list) and types.count(6) == 256


def test_what_llama_cpp_does_not_normalise_is_said(tmp_path: Path) -> None:
    said = {"model": {"type": "BPE"}, "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    assert str(unnormalised(tmp_path)).endswith("(NFC)")
    (tmp_path / "tokenizer.json").write_text(json.dumps({**said, "normalizer": None}))
    assert unnormalised(tmp_path) is None


# ---- plans ---------------------------------------------------------------------------------------------------------


def test_kinds_are_llama_cpps() -> None:
    for name, kind in KINDS.items():
        known = "ALL_F32" if name == "f32" else f"MOSTLY_{name.upper()}"
        assert gguf.LlamaFileType[known] == kind.number
        assert math.isfinite(kind.divergence) and (not kind.own or kind.own in gguf.GGMLQuantizationType.__members__)


def test_a_model_is_merged_in_what_its_files_can_hold() -> None:
    assert merged_in(["q8_0", "f16"], "bfloat16") == merged_in(["f32"], "float16") == "float32"
    for kinds, numbers in ((["f16", "q8_0"], "float16"), (["bf16", "q4_k_m"], "bfloat16"), (["f32"], "float32")):
        assert merged_in(kinds, numbers) == "auto"


def test_problems_of_kinds() -> None:
    assert not kind_problems("exporter.gguf", ["q4_k_m", "f16"], False)
    (wrong,) = kind_problems("exporter.gguf", ["q4km"], False)
    assert "q4_k_m" in wrong.advice
    (few,) = kind_problems("exporter.gguf", ["iq2_xxs"], False)
    assert "imatrix=true" in few.advice and not kind_problems("exporter.gguf", ["iq2_xxs"], True)
    assert kind_problems("exporter.gguf", [], False) and kind_problems("exporter.gguf", ["q8_0"], False, True)


def test_problems_of_architectures(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "falcon_h1"}))
    plan = StubPlan({"model": {"transformers": None}}, values={"model.path": str(tmp_path)})
    (problem,) = architecture_problems(plan, "exporter.gguf", None)
    assert "falcon_h1" in problem.message and "pip download" in problem.advice and "qwen3_moe" in problem.advice
    (problem,) = architecture_problems(plan, "exporter.gguf", str(tmp_path))
    assert problem.key == "exporter.gguf.converter"
    (tmp_path / "convert_hf_to_gguf.py").write_text("")
    assert not architecture_problems(plan, "exporter.gguf", str(tmp_path))


@pytest.mark.parametrize(
    ("said", "changed", "fault"),
    [
        ({"model_type": "qwen3_moe", "norm_topk_prob": False}, {}, "norm_topk_prob is False, and True there"),
        ({"model_type": "qwen3_moe", "norm_topk_prob": False}, {"norm_topk_prob": True}, ""),
        (
            {"model_type": "qwen3_moe", "norm_topk_prob": True, "mlp_only_layers": [0]},
            {},
            "some layers have no experts",
        ),
        ({"model_type": "llama", "hidden_act": "relu"}, {}, "the activation is relu"),
        ({"model_type": "gemma3", "text_config": {"hidden_size": 64, "query_pre_attn_scalar": 256}}, {}, ""),
        ({"model_type": "gemma2", "tie_word_embeddings": False}, {}, "the output layer is another"),
    ],
)
def test_problems_of_what_llama_cpp_computes_otherwise(tmp_path: Path, said, changed, fault: str) -> None:
    """Known before training; what a config.json leaves out is not judged."""
    (tmp_path / "config.json").write_text(json.dumps(said))
    values = {"model.path": str(tmp_path), "model.config": changed}
    problems = architecture_problems(StubPlan({"model": {"transformers": None}}, values=values), "exporter.gguf", None)
    assert [fault in problem.message for problem in problems] == ([True] if fault else [])


def test_problems_of_a_way_to_cut_text_that_llama_cpp_has_not() -> None:
    assert not cutting_problems("exporter.gguf", None) and not cutting_problems("exporter.gguf", "qwen2")
    (problem,) = cutting_problems("exporter.gguf", "qwen_2")
    assert problem.key == "exporter.gguf.pre_tokenizer" and "did you mean qwen2?" in problem.advice
