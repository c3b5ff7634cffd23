"""Attention in shifted groups against loops over heads and tokens in float64, in every kind of batch."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError, hookimpl
from tunesmith.errors import ConfigError
from tunesmith.traits import AdapterTraits, PatchTraits, StageTraits
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, compute_loss, load_plain, logits_of, source_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training import attention as per_sequence_attention
from tunesmith_patch_longlora import LongLora


class TestLongLora(PatchSuite):
    plugin = LongLora
    options = {"group_size": 8}


class Loader:
    """The loading and the loss that the patch wraps."""

    @hookimpl
    def load_model(self, source: Any) -> Any:
        return load_plain(source.path)

    @hookimpl
    def compute_loss(self, model: Any, batch: dict[str, Any]) -> Any:
        return compute_loss(model, batch)


def patched(folder: Path, *, training: bool = True, **options: Any) -> Any:
    """A model that is loaded through the patch by transformers alone."""
    hook = TestLongLora().manager(Loader(), **options).hook
    return hook.load_model(source=source_of(folder, training=training), processor=None, quantization=None)


def per_sequence(folder: Path, **options: Any) -> Any:
    """A model that is loaded through the patch by the transformers plugin, with attention per sequence."""
    from tunesmith_model_transformers import Transformers

    loader = Transformers(path=str(folder))
    manager = TestLongLora().manager(loader, **options)
    processor = loader.load_processor(source=source_of(folder))
    return manager.hook.load_model(source=source_of(folder), processor=processor, quantization=None)


LOADERS = {"sdpa": patched, "per_sequence": per_sequence}


def reference(query: Any, key: Any, value: Any, lengths: list[int], size: int) -> torch.Tensor:
    """Attention of sequences that stand one after the other, written out: query (heads, T, D) -> (heads, T, D).

    Each head, each token: softmax over the tokens from the beginning of its group to itself.
    """
    heads, output = query.shape[0], torch.zeros_like(query)
    for head in range(heads):
        own = head * key.shape[0] // heads
        start = 0
        for length in lengths:
            for token in range(length):
                if length <= size:
                    first = 0
                elif head < heads // 2:
                    first = token // size * size
                else:
                    first = max((token + size - size // 2) // size * size - (size - size // 2), 0)
                seen = slice(start + first, start + token + 1)
                scores = key[own, seen] @ query[head, start + token] * query.shape[-1] ** -0.5
                output[head, start + token] = scores.softmax(0) @ value[own, seen]
            start += length
    return output


def random_heads(heads: int, key_heads: int, tokens: int, rows: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(rows, number, tokens, 8) for number in (heads, key_heads, key_heads)]
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def layer() -> Any:
    return SimpleNamespace(training=True, is_causal=True)


def shifted_attention(size: int, monkeypatch: pytest.MonkeyPatch, full: str = "sdpa") -> Any:
    from tunesmith_patch_longlora import attention

    if full == "per_sequence":
        per_sequence_attention.register()
    monkeypatch.setattr(attention, "_full_attention", lambda: full)
    return attention.ShiftedAttention(size)


def bounds_of(lengths: list[int]) -> dict[str, Any]:
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    longest = max(lengths)
    return {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": longest, "max_length_k": longest}


@pytest.mark.parametrize("size", [4, 5, 8])
@pytest.mark.parametrize("heads, key_heads", [(4, 4), (4, 2), (4, 1), (6, 3), (3, 3)])
@pytest.mark.parametrize("full", ["sdpa", "per_sequence"])
def test_concatenated_sequences(
    full: str, heads: int, key_heads: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shorter than a group, as long, longer, not divisible; groups never cross sequences."""
    lengths = [3, 16, size, 1, 21]
    parts = random_heads(heads, key_heads, sum(lengths))
    attention = shifted_attention(size, monkeypatch, full)
    output, _ = attention(layer(), *parts, None, **bounds_of(lengths))
    expected = reference(*(part[0] for part in parts), lengths, size)
    torch.testing.assert_close(output[0].transpose(0, 1), expected, atol=1e-12, rtol=1e-10)
    plain = reference(*(part[0] for part in parts), lengths, 1000)
    assert not torch.allclose(expected, plain)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("mask", ["bool", "additive"])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_padded_rows(mask: str, left: bool, key_heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, size = [19, 7, 12, 3], 4
    places = [slice(19 - length, 19) if left else slice(0, length) for length in lengths]
    parts = random_heads(4, key_heads, 19, rows=4)
    given = torch.zeros(4, 1, 19, 19, dtype=torch.bool)
    for row, place in enumerate(places):
        given[row, 0, :, place] = True
    given &= torch.ones(19, 19, dtype=torch.bool).tril()
    if mask == "additive":
        given = torch.zeros(given.shape, dtype=torch.float64).masked_fill(~given, torch.finfo(torch.float64).min)
    output, _ = shifted_attention(size, monkeypatch)(layer(), *parts, given)
    assert bool(output.isfinite().all())
    for row, (place, length) in enumerate(zip(places, lengths, strict=True)):
        expected = reference(*(part[row, :, place] for part in parts), [length], size)
        torch.testing.assert_close(output[row, place].transpose(0, 1), expected, atol=1e-12, rtol=1e-10)


def test_rows_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = random_heads(4, 2, 19, rows=3)
    output, _ = shifted_attention(4, monkeypatch)(layer(), *parts, None)
    for row in range(3):
        expected = reference(*(part[row] for part in parts), [19], 4)
        torch.testing.assert_close(output[row].transpose(0, 1), expected, atol=1e-12, rtol=1e-10)


def test_against_the_published_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolling half of the heads by half a group gives the same, but where it makes the first tokens see the last."""
    tokens, size = 32, 8
    query, key, value = random_heads(4, 4, tokens)
    expected = torch.empty_like(query)
    for heads, turn in ((slice(0, 2), 0), (slice(2, 4), size // 2)):
        rolled = [
            part[:, heads].roll(-turn, dims=2).reshape(2, tokens // size, size, 8) for part in (query, key, value)
        ]
        attended = torch.nn.functional.scaled_dot_product_attention(*rolled, is_causal=True)
        expected[:, heads] = attended.reshape(1, 2, tokens, 8).roll(turn, dims=2)
    output = shifted_attention(size, monkeypatch)(layer(), query, key, value, None)[0].transpose(1, 2)
    torch.testing.assert_close(output[:, :2], expected[:, :2])
    torch.testing.assert_close(output[:, 2:, size // 2 :], expected[:, 2:, size // 2 :])
    assert not torch.allclose(output[:, 2:, : size // 2], expected[:, 2:, : size // 2])


def test_no_token_sees_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = random_heads(4, 4, 32)
    value.requires_grad_()
    output, _ = shifted_attention(8, monkeypatch)(layer(), query, key, value, None)
    for token in range(32):
        (gradient,) = torch.autograd.grad(output[0, token].sum(), value, retain_graph=True)
        reached = gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
        begins = min(token // 8 * 8, max((token + 4) // 8 * 8 - 4, 0))
        assert reached == list(range(begins, token + 1))


@pytest.mark.parametrize("change", ["evaluation", "short", "both directions", "cache"])
def test_full_attention_elsewhere(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation, texts that fit a group, layers that look ahead, and steps of generation are left alone."""
    tokens = 8 if change == "short" else 20
    query, key, value = random_heads(4, 4, tokens)
    module, options = layer(), {}
    if change == "evaluation":
        module.training = False
    if change == "both directions":
        module.is_causal = False
    if change == "cache":
        query = query[:, :, -1:]
    output, _ = shifted_attention(8, monkeypatch)(module, query, key, value, None, **options)
    causal = change not in ("both directions", "cache")
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    torch.testing.assert_close(output.transpose(1, 2), expected)


def tokens_of(lengths: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(5, 300, (length,), generator=generator) for length in lengths]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2"])
def test_batches_agree(architecture: str, loader: str, tmp_path: Path) -> None:
    """In training, concatenated and padded batches give the logits of each sequence alone; gradients are there."""
    more = {"query_pre_attn_scalar": 16, "sliding_window": 12, "attn_logit_softcapping": None}
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **(more if architecture == "gemma2" else {}))
    model = LOADERS[loader](folder, group_size=6).double().train()
    lengths = [9, 31, 4, 20]
    rows = tokens_of(lengths)
    alone = torch.cat([model(input_ids=ids[None], use_cache=False).logits[0] for ids in rows])
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in rows], batch_first=True)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    logits = model(input_ids=padded, attention_mask=mask, use_cache=False).logits[mask.bool()]
    torch.testing.assert_close(logits, alone, atol=1e-9, rtol=1e-9)
    batch = {
        "input_ids": torch.cat(rows)[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        **bounds_of(lengths),
    }
    together = model(**batch, use_cache=False).logits[0]
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=1e-9)
    full = load_plain(folder).double()(input_ids=rows[1][None]).logits[0]
    assert not torch.allclose(alone[9:40], full, atol=1e-6)
    together.sum().backward()
    assert all(weight.grad is None or bool(weight.grad.isfinite().all()) for weight in model.parameters())


@pytest.mark.parametrize("loader", LOADERS)
def test_evaluation_is_the_plain_model(loader: str, tiny_llama: Path, tiny_bpe: Any) -> None:
    model, plain = LOADERS[loader](tiny_llama, group_size=4), load_plain(tiny_llama)
    torch.testing.assert_close(logits_of(model.eval(), tiny_bpe), logits_of(plain, tiny_bpe))
    ids = tokens_of([12])[0][None]
    answers = [each.generate(input_ids=ids, max_new_tokens=8, do_sample=False) for each in (model, plain)]
    assert torch.equal(*answers)


def test_softcap_and_sinks_in_concatenated_batches(tmp_path: Path) -> None:
    """Attention per sequence knows them, so its groups do; a padded batch says what to do instead."""
    folder = save_tiny_model(
        tmp_path / "m", architecture="gpt_oss", num_local_experts=4, num_experts_per_tok=2, sliding_window=128
    )
    model = per_sequence(folder, group_size=6).train()
    with torch.no_grad():
        for layer_of in model.model.layers:
            layer_of.self_attn.sinks.copy_(torch.linspace(-1, 1, 4))
    lengths = [9, 31]
    rows = tokens_of(lengths)
    batches = [
        {"input_ids": ids[None], "position_ids": torch.arange(len(ids))[None], **bounds_of([len(ids)])} for ids in rows
    ]
    alone = torch.cat([model(**batch, use_cache=False).logits[0] for batch in batches])
    batch = {
        "input_ids": torch.cat(rows)[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        **bounds_of(lengths),
    }
    torch.testing.assert_close(model(**batch, use_cache=False).logits[0], alone, atol=1e-5, rtol=1e-4)
    with pytest.raises(TunesmithError, match=r"attention with s_aux(.|\n)*padding_free=true"):
        model(input_ids=rows[1][None], use_cache=False)


def test_gradient_checkpointing(tiny_llama: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = per_sequence(tiny_llama, group_size=6).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        lengths = [30, 11]
        batch = {"input_ids": torch.cat(tokens_of(lengths))[None], **bounds_of(lengths)}
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        model(**batch, position_ids=positions, use_cache=False).logits.square().sum().backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


def test_nothing_is_saved_of_it(tiny_llama: Path, tmp_path: Path) -> None:
    patched(tiny_llama).save_pretrained(tmp_path)
    assert "shifted" not in (tmp_path / "config.json").read_text()


def test_only_training_is_patched(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith_patch_longlora import attention

    def refuse(*_: Any) -> None:
        raise AssertionError("a model that is not trained was changed")

    monkeypatch.setattr(attention, "install", refuse)
    patched(tiny_llama, training=False)
    with pytest.raises(AssertionError, match="not trained"):
        patched(tiny_llama)


def test_size_follows_the_length(tiny_llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    plugin = LongLora()
    assert plugin.check(plan=StubPlan({}, values={"stage.max_length": 8192})) == []
    manager = TestLongLora().manager(Loader(), group_size=None)
    (registered,) = [each for each in manager.get_plugins() if isinstance(each, LongLora)]
    registered.configured(plan=StubPlan({}, values={"stage.max_length": 8192}))
    manager.hook.load_model(source=source_of(tiny_llama), processor=None, quantization=None)
    assert "groups of 2048 tokens, shifted in half of the heads (0.25 of stage.max_length)" in caplog.text


def test_a_model_with_attention_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(
        tmp_path / "m", architecture="gpt_neo", num_heads=4, num_layers=2, attention_types=[[["global"], 2]]
    )
    hook = TestLongLora().manager(Loader()).hook
    model = hook.load_model(source=source_of(folder), processor=None, quantization=None).train()
    ids = tokens_of([20])[0][None]
    with pytest.raises(TunesmithError, match=r"does not compute its attention(.|\n)*leave patch\.longlora out"):
        hook.compute_loss(model=model, batch={"input_ids": ids, "labels": ids, "num_items": 19.0})


@pytest.mark.parametrize(
    ("others", "values", "key"),
    [
        ({}, {"model.attention": "sdpa"}, "model.attention"),
        ({"patch": {"other": PatchTraits(attention=True)}}, {}, "patch.other"),
        ({"patch": {"other": PatchTraits()}}, {}, None),
        ({"stage": {"mine": StageTraits(reference=True)}}, {}, "stage"),
        ({"stage": {"mine": StageTraits(generates=True)}}, {}, None),
        ({"adapter": {"mine": AdapterTraits(beside=True)}}, {}, "adapter.modules_to_save"),
        (
            {"adapter": {"mine": AdapterTraits(beside=True)}},
            {"adapter.modules_to_save": ["embed_tokens", "norm"]},
            None,
        ),
        ({"adapter": {"mine": AdapterTraits(whole=True)}}, {}, None),
    ],
)
def test_check(others: dict[str, Any], values: dict[str, Any], key: str | None) -> None:
    """What a plugin says of itself counts, whatever its name."""
    longlora = LongLora(group_size=8)
    selected: dict[str, dict[str, Any]] = {"patch": {"longlora": longlora}}
    for kind, named in others.items():
        instances = {name: SimpleNamespace(traits=traits) for name, traits in named.items()}
        selected[kind] = {**selected.get(kind, {}), **instances}
    problems = longlora.check(plan=StubPlan(selected, values={"stage.max_length": 64, **values}))
    assert [problem.key for problem in problems] == ([key] if key else [])
    assert all(problem.advice for problem in problems)


@pytest.mark.parametrize(("option", "value"), [("group_size_ratio", 1.5), ("group_size_ratio", 0.0), ("group_size", 1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{option} cannot be {value}"):
        TestLongLora.make(**{option: value})


def test_check_needs_a_size() -> None:
    (problem,) = LongLora().check(plan=StubPlan({}))
    assert problem.key == "patch.longlora.group_size" and "group_size=2048" in problem.advice
    assert LongLora().check(plan=StubPlan({}, command="chat")) == []


@pytest.mark.gpu
def test_varlen_kernel_agrees(tmp_path: Path) -> None:
    """The groups through the CUDA kernel in bf16 against SDPA in fp32 on the CPU."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = save_tiny_model(tmp_path / "m")
    lengths = [40, 9, 130]
    batch = {"input_ids": torch.cat(tokens_of(lengths))[None], **bounds_of(lengths)}
    batch["position_ids"] = torch.cat([torch.arange(length) for length in lengths])[None]
    expected = per_sequence(folder, group_size=32).train()(**batch, use_cache=False).logits
    model = per_sequence(folder, group_size=32).cuda().bfloat16().train()
    batch = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    torch.testing.assert_close(model(**batch, use_cache=False).logits.float().cpu(), expected, rtol=0.05, atol=0.02)
