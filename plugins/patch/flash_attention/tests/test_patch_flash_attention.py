"""Which kernel is chosen, what is refused, and whole runs through a stand-in that computes on the CPU."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tunesmith import TunesmithError
from tunesmith.errors import ConfigError
from tunesmith.traits import ModelTraits, PatchTraits
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, logged, source_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training import varlen
from tunesmith_model_transformers import Transformers
from tunesmith_patch_flash_attention import FlashAttention
from tunesmith_patch_flash_attention.choosing import Choice, hub_kernel, lacking, needs_of

GEMMA = {"query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0}
DTYPES = (torch.float32, torch.bfloat16)
GPT_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2}


def flash_attn_varlen_func(
    q: Any,
    k: Any,
    v: Any,
    cu_seqlens_q: Any,
    cu_seqlens_k: Any,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    """The signature of flash-attn, by SDPA on the CPU; neither windows nor softcaps."""
    assert causal and window_size == (-1, -1)
    lengths = cu_seqlens_q.diff().tolist()
    parts = zip(*(tensor.transpose(0, 1)[None].split(lengths, 2) for tensor in (q, k, v)), strict=True)
    options = {"scale": softmax_scale, "is_causal": True, "enable_gqa": True}
    pieces = [F.scaled_dot_product_attention(*part, **options) for part in parts]
    return torch.cat(pieces, dim=2)[0].transpose(0, 1)


def stand_in(name: str, calls: list[str], **changes: Any) -> varlen.Kernel:
    """A kernel that computes on the CPU, also in fp32, and notes its calls."""
    kernel = varlen.of_flash_attn(flash_attn_varlen_func, name)

    def function(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(name)
        return kernel.function(*arguments, **options)

    return dataclasses.replace(kernel, function=function, device="cpu", dtypes=DTYPES, **changes)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A machine with such a GPU, flash-attn and torch's kernel; the names of the kernels as they are called."""
    made: list[str] = []
    monkeypatch.setattr(varlen, "has_hardware", lambda: True)
    monkeypatch.setattr(varlen, "found", lambda: None)  # only what the patch gives to a model is called
    monkeypatch.setattr(varlen, "flash_attn_kernel", lambda: stand_in("flash_attn", made))
    monkeypatch.setattr(varlen, "torch_kernel", lambda: stand_in("torch", made, dropout=False))
    yield made


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen, "has_hardware", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("calls")
class TestFlashAttention(PatchSuite):
    plugin = FlashAttention


def load(folder: Path, **options: Any) -> Any:
    """A model through the patch, around model=transformers."""
    manager = TestFlashAttention().manager(Transformers(path=str(folder)), **options)
    return manager.hook.load_model(source=source_of(folder), processor=tokenizer_of(folder), quantization=None)


def tokenizer_of(folder: Path) -> Any:
    return Transformers(path=str(folder)).load_processor(source=source_of(folder))


def concatenated(lengths: tuple[int, ...] = (9, 1, 23, 14)) -> dict[str, Any]:
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    return {
        "input_ids": torch.randint(5, 250, (1, sum(lengths)), generator=torch.Generator().manual_seed(1)),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "use_cache": False,
    }


@pytest.mark.parametrize(("implementation", "name"), [("auto", "flash_attn"), ("torch_varlen", "torch")])
def test_kernel_computes(implementation: str, name: str, tiny_llama: Path, calls: list[str]) -> None:
    """Every layer of a concatenated batch; a batch with padding is SDPA's, as before."""
    model = load(tiny_llama, implementation=implementation).eval()
    plain = load_plain(tiny_llama, attn_implementation="eager")
    batch = concatenated()
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, plain(**batch).logits, rtol=1e-4, atol=1e-5)
        assert calls == [name] * 2
        ids = batch["input_ids"]
        torch.testing.assert_close(model(input_ids=ids).logits, plain(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
        assert len(calls) == 2


def test_two_models_keep_their_kernels(tiny_llama: Path, calls: list[str]) -> None:
    first, second = (load(tiny_llama, implementation=name) for name in ("flash_attn", "torch_varlen"))
    for model in (first, second, first):
        model(**concatenated())
    assert calls == ["flash_attn"] * 2 + ["torch"] * 2 + ["flash_attn"] * 2


@pytest.mark.parametrize("implementation", ["auto", "flash_attn", "kernels", "torch_varlen"])
def test_needs_a_gpu(implementation: str, tiny_llama: Path, without_gpu: None) -> None:
    """The error comes before the data is read, and says what runs here."""
    wrapper = FlashAttention(implementation=implementation).load_processor(source=source_of(tiny_llama))
    next(wrapper)
    with pytest.raises(TunesmithError, match=r"from Ampere on .*no such GPU here.\n .* by SDPA, sequence by sequence"):
        wrapper.send("the tokenizer")


def test_chat_and_export_are_not_patched(tiny_llama: Path, without_gpu: None) -> None:
    source = source_of(tiny_llama, training=False)
    for wrapper in (FlashAttention().load_processor(source=source), FlashAttention().load_model(source=source)):
        next(wrapper)
        with pytest.raises(StopIteration) as ended:
            wrapper.send("what was loaded")
        assert ended.value.value == "what was loaded"


def test_missing_implementation(tiny_llama: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was asked for stops the run early; auto goes on to the next."""
    monkeypatch.setattr(varlen, "flash_attn_kernel", lambda: None)
    wrapper = FlashAttention(implementation="flash_attn").load_processor(source=source_of(tiny_llama))
    next(wrapper)
    with pytest.raises(TunesmithError, match=r"flash-attn is not installed \(pip install flash-attn\)"):
        wrapper.send("the tokenizer")
    load(tiny_llama)(**concatenated())
    assert set(calls) == {"torch"}
    monkeypatch.setattr(varlen, "torch_kernel", lambda: None)
    monkeypatch.setitem(sys.modules, "kernels", None)
    with pytest.raises(TunesmithError) as error:
        load(tiny_llama)
    assert str(error.value).splitlines() == [
        "patch.flash_attention: no kernel for llama here.",
        "  flash_attn: flash-attn is not installed (pip install flash-attn)",
        f"  torch_varlen: torch {torch.__version__} has no varlen_attn with windows and grouped heads",
        "  kernels: the package kernels is not installed (pip install kernels)",
        "  leave patch.flash_attention out: model.attention=auto then computes it by SDPA, sequence by sequence",
    ]


def test_softcap(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto takes a kernel that knows it, and one that was asked for and does not is refused."""
    folder = save_tiny_model(tmp_path / "m", architecture="gemma2", **GEMMA)
    with pytest.raises(TunesmithError, match=r"for gemma2 here.\n  torch_varlen: it does not know softcaps\n"):
        load(folder, implementation="torch_varlen")
    monkeypatch.setattr(varlen, "torch_kernel", lambda: stand_in("torch", calls, softcap=True))
    load(folder, implementation="auto")
    with pytest.raises(TunesmithError, match="flash_attn: it does not know softcaps"):
        load(folder, implementation="flash_attn")


@pytest.mark.parametrize(
    ("architecture", "more", "lacks"),
    [
        ("llama", {}, []),
        ("llama", {"head_dim": 12}, ["heads 12 wide (multiples of 8, at most 256)"]),
        ("llama", {"attention_dropout": 0.1}, ["dropout"]),
        ("gemma2", GEMMA, ["softcaps"]),
        ("gpt_oss", GPT_OSS, ["attention sinks"]),
        (
            "deepseek_v3",
            {"qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16, "n_routed_experts": 8},
            ["values 16 wide beside keys of 24"],
        ),
    ],
)
def test_what_a_model_needs(architecture: str, more: dict[str, Any], lacks: list[str], tmp_path: Path) -> None:
    """Against a kernel that knows nothing beside attention."""
    model = load_plain(save_tiny_model(tmp_path / "m", architecture=architecture, **more))
    bare = varlen.of_torch(lambda *arguments, **options: arguments[0])
    assert list(lacking(bare, needs_of(model, "bf16"))) == lacks
    assert list(lacking(bare, needs_of(model, "fp32"))) == ["float32", *lacks]


def test_model_with_attention_of_its_own(tmp_path: Path, calls: list[str]) -> None:
    folder = save_tiny_model(tmp_path / "m", architecture="bloom", n_head=4, n_layer=2)
    with pytest.raises(TunesmithError, match="bloom computes attention in its own way"):
        load(folder)


def test_kernel_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is asked for repository and version; what goes wrong there is told with both."""
    asked: list[Any] = []

    def get_kernel(repository: str, *, version: int) -> Any:
        asked.append((repository, version))
        if version == 9:
            raise FileNotFoundError("no build for this machine")
        functions = {"flash_attn_varlen_func": flash_attn_varlen_func} if version == 1 else {}
        return types.SimpleNamespace(**functions)

    monkeypatch.setitem(sys.modules, "kernels", types.SimpleNamespace(get_kernel=get_kernel))
    kernel = hub_kernel("kernels-community/flash-attn3", 1)
    assert asked == [("kernels-community/flash-attn3", 1)]
    assert kernel.name == "kernels-community/flash-attn3" and kernel.dropout and not kernel.softcap
    with pytest.raises(TunesmithError, match="org/name in version 9 cannot be had: no build for this machine"):
        hub_kernel("org/name", 9)
    with pytest.raises(TunesmithError, match="org/name has no flash_attn_varlen_func"):
        hub_kernel("org/name", 2)
    monkeypatch.setitem(sys.modules, "kernels", None)
    with pytest.raises(TunesmithError, match="kernels is not installed"):
        hub_kernel("org/name", 1)


KNOWN = types.SimpleNamespace(traits=ModelTraits(attention_interface=True))


def test_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(
        values: dict[str, Any], model: Any = KNOWN, command: str = "train", other: Any = None, **options: Any
    ) -> list[str]:
        patch = FlashAttention(**options)
        plugins = {"model": {"mine": model}, "patch": {"flash_attention": patch, "other": other}}
        return [problem.key for problem in patch.check(plan=StubPlan(plugins, command=command, values=values))]

    assert keys({}) == keys({"model.attention": "per_sequence", "precision": "bf16"}) == []
    assert keys({"model.attention": "flash_attention_2"}) == ["model.attention"]
    assert keys({"precision": "fp32", "trainer.padding_free": False}) == ["precision", "trainer.padding_free"]
    assert keys({"precision": "fp32"}, command="export") == []
    assert keys({"model.attention": "eager"}, model=None) == ["patch.flash_attention"]
    assert keys({}, other=types.SimpleNamespace(traits=PatchTraits(attention=True))) == ["patch.other"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert keys({}, implementation="kernels") == ["patch.flash_attention.implementation"]
    assert keys({}, implementation="torch_varlen") == []
    with pytest.raises(ConfigError, match="kernel_version cannot be 0"):
        TestFlashAttention.make(kernel_version=0)


def test_a_run(tmp_path: Path, tiny_bpe: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run learns through the kernel, and what it saved answers on a machine without such a GPU."""
    import tunesmith

    save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe)
    turns = [("Who counts the waves?", "Nobody."), ("Who sings?", "Whales sing.")] * 16
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": ask, "output": say} for ask, say in turns]))
    config = {
        "model": {"path": str(tmp_path / "base")},
        "template": "chatml",
        "data": {"train": [{"path": str(tmp_path / "train.json"), "format": "alpaca"}], "cache": False},
        "stage": "sft",
        "adapter": {"name": "lora", "modules_to_save": ["lm_head"]},
        "patch": {"flash_attention": {"implementation": "auto"}},
        "tracker": ["jsonl"],
        "output_dir": str(tmp_path / "out"),
        "engine": {"temperature": 0, "max_new_tokens": 12},
        "trainer": {
            "max_steps": 24,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "no",
        },
    }
    with pytest.raises(TunesmithError, match="computes in bf16 and fp16 only"):
        tunesmith.train({**config, "precision": "fp32"})
    run = tunesmith.train({**config, "precision": "bf16"})
    assert len(calls) >= 2 * 24 and set(calls) == {"flash_attn"}
    losses = logged(run)
    assert losses[-1] < 0.5 * losses[0]
    count = len(calls)
    monkeypatch.setattr(varlen, "has_hardware", lambda: False)
    (answer,) = tunesmith.chat(run, [[{"role": "user", "content": "Who sings?"}]])
    assert answer.strip() == "Whales sing." and len(calls) == count


ON_A_GPU = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6, **GEMMA},
}


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", ON_A_GPU)
@pytest.mark.parametrize("implementation", ["flash_attn", "kernels", "torch_varlen"])
def test_kernels_on_a_gpu(implementation: str, architecture: str, tmp_path: Path) -> None:
    """Logits and gradients in bf16 against SDPA per sequence in fp32; a softcap that is not known is refused."""
    if not varlen.has_hardware():
        pytest.skip("no CUDA device from Ampere on")
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ON_A_GPU[architecture])
    choice = Choice(implementation, "kernels-community/flash-attn2", 4)
    try:
        kernel = choice.find(implementation)
    except TunesmithError as error:
        pytest.skip(str(error))
    loader, files = Transformers(path=str(folder)), {"source": source_of(folder), "processor": tokenizer_of(folder)}
    models = [loader.load_model(**files, quantization=None) for _ in range(2)]
    if architecture == "gemma2" and not kernel.softcap:
        with pytest.raises(TunesmithError, match="it does not know softcaps"):
            choice.apply(models[0], "bf16")
        return
    choice.apply(models[0], "bf16")
    models = [models[0].cuda().bfloat16(), models[1].cuda()]
    batch = {name: value.cuda() if torch.is_tensor(value) else value for name, value in concatenated().items()}
    logits = [model(**batch).logits.float() for model in models]
    torch.testing.assert_close(*logits, rtol=0.05, atol=0.02)
    for each in logits:
        each.square().mean().backward()
    for (name, found), expected in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        error = (found.grad.float() - expected.grad).norm() / expected.grad.norm().clamp(min=1e-6)
        assert error < 0.1, name
