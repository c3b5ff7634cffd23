"""Low-rank adapters in few passes: what peft computes, what is kept, and what is left to peft's own forward."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D
from tunesmith_library_adapting import dora, low_rank
from tunesmith_library_adapting.few_passes import in_few_passes
from tunesmith_library_testing.parts import collate, examples, load_plain, train

INTO, OUT, TOKENS = 96, 80, 150


class Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.proj = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.proj(x)
        return result


class Narrow(nn.Linear):
    """Stands for a quantised layer: a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).clone()


def adapted(layer: nn.Module | None = None, **options: Any) -> Any:
    """A peft model of one layer with a random B, and with DoRA magnitudes that have moved."""
    torch.manual_seed(0)
    net = Net(nn.Linear(INTO, OUT) if layer is None else layer)
    model = get_peft_model(net, LoraConfig(**{"r": 8, "lora_alpha": 16, "target_modules": ["proj"], **options}))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.2)
        if "magnitude" in name:
            weight.data *= 1 + 0.2 * torch.randn(OUT)
    return model


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (2, TOKENS, INTO)), generator=torch.Generator().manual_seed(1))


def computed(model: Any, x: torch.Tensor, autocast: bool = False) -> list[torch.Tensor]:
    """The result, the gradient of x, and those of what is trained."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = model(x)
    outer = torch.randn(result.shape, generator=torch.Generator().manual_seed(2))
    result.backward(outer.to(result.dtype))
    assert x.grad is not None
    return [result.detach(), x.grad, *(weight.grad for weight in model.parameters() if weight.requires_grad)]


def apart(found: list[torch.Tensor], expected: list[torch.Tensor]) -> list[float]:
    pairs = zip((one.detach().double() for one in found), (one.detach().double() for one in expected), strict=True)
    return [float((one - other).norm() / other.norm()) for one, other in pairs]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of our functions were asked."""
    seen: list[str] = []

    def watch(module: Any, name: str) -> None:
        own, told = getattr(module, name), f"{module.__name__.rpartition('.')[2]}.{name}"

        def asked(*args: Any) -> Any:
            seen.append(told)
            return own(*args)

        monkeypatch.setattr(module, name, asked)

    for module, name in ((low_rank, "linear"), (low_rank, "added"), (dora, "linear")):
        watch(module, name)
    return seen


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_float32_is_what_peft_computes(options: dict[str, Any], bias: bool, calls: list[str]) -> None:
    model = adapted(nn.Linear(INTO, OUT, bias=bias), **options)
    expected = computed(model, inputs())
    found = computed(in_few_passes(model), inputs())
    assert calls == ["dora.linear" if options.get("use_dora") else "low_rank.linear"]
    assert max(apart(found, expected)) < 1e-6
    assert [one.dtype for one in found] == [one.dtype for one in expected]


@pytest.mark.parametrize("narrow", [True, False], ids=["base in bf16", "base in fp32"])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"])
def test_bfloat16_is_no_further_from_float64_than_peft(options: dict[str, Any], narrow: bool) -> None:
    model, x = adapted(**options), inputs()
    if narrow:
        model.base_model.model.proj.base_layer.bfloat16()
        x = x.bfloat16()
    exact = computed(copy.deepcopy(model).double(), x.double())
    theirs = computed(model, x, autocast=True)
    ours = computed(in_few_passes(model), x, autocast=True)
    assert [one.dtype for one in ours] == [one.dtype for one in theirs]
    for error, bound in zip(apart(ours, exact), apart(theirs, exact), strict=True):
        assert error < 1.1 * bound  # both are roundings of thousands of numbers


@pytest.mark.parametrize("autocast", [False, True])
def test_dropout_is_peft_s_by_the_same_seed(autocast: bool, calls: list[str]) -> None:
    model = adapted(lora_dropout=0.3)
    torch.manual_seed(5)
    expected = computed(model, inputs(), autocast)
    torch.manual_seed(5)
    found = computed(in_few_passes(model), inputs(), autocast)
    assert calls == ["low_rank.added"]
    assert max(apart(found, expected)) < (1e-2 if autocast else 1e-6)
    assert max(apart([model.eval()(inputs())], [model(inputs())])) == 0 and calls[-1] == "low_rank.linear"


@pytest.mark.parametrize("layer", [Narrow(INTO, OUT), Conv1D(OUT, INTO)], ids=["own forward", "Conv1D"])
@pytest.mark.parametrize("autocast", [False, True])
def test_another_base_computes_itself(layer: nn.Module, autocast: bool, calls: list[str]) -> None:
    model = adapted(copy.deepcopy(layer), fan_in_fan_out=isinstance(layer, Conv1D))
    expected = computed(model, inputs(), autocast)
    found = computed(in_few_passes(model), inputs(), autocast)
    assert calls == ["low_rank.added"]
    assert max(apart(found, expected)) < (1e-2 if autocast else 1e-6)


def test_a_trained_bias_gets_its_gradient(calls: list[str]) -> None:
    model = adapted(bias="all")
    expected = computed(model, inputs())
    found = computed(in_few_passes(model), inputs())
    assert calls == ["low_rank.added"] and len(found) == 5
    assert max(apart(found, expected)) < 1e-6


def test_a_hook_on_the_base_is_called() -> None:
    model = in_few_passes(adapted())
    layer, seen = model.base_model.model.proj, []
    layer.base_layer.register_forward_hook(lambda module, given, result: seen.append(result.shape))
    model(inputs())
    assert seen == [(2, TOKENS, OUT)]


def test_what_is_not_plain_is_left_to_peft(calls: list[str]) -> None:
    model, x = in_few_passes(adapted()), inputs()
    layer = model.base_model.model.proj
    with model.disable_adapter():
        assert torch.equal(model(x), layer.base_layer(x))
    plain = model(x)
    handle = layer.lora_A["default"].register_forward_hook(lambda *_: None)  # as of a matrix held in shards
    assert len(calls) == 1 and max(apart([model(x)], [plain])) < 1e-6
    handle.remove()
    model.add_adapter("other", LoraConfig(r=4, target_modules=["proj"], init_lora_weights=False))
    both = model.eval()(torch.cat([x, x]), adapter_names=["default", "default", "other", "__base__"])
    assert max(apart([both[:2], both[3]], [plain, layer.base_layer(x[1])])) < 1e-6
    model.base_model.set_adapter(["default", "other"])
    model(x)
    model.base_model.set_adapter("default")
    layer.merge()
    assert max(apart([model(x)], [plain])) < 1e-6
    layer.unmerge()
    assert len(calls) == 1 and model(x) is not None and len(calls) == 2


def test_types_that_differ_without_autocast_are_left_to_peft(calls: list[str]) -> None:
    model = in_few_passes(adapted())
    model.base_model.model.proj.base_layer.bfloat16()
    assert model(inputs().bfloat16()).dtype == torch.bfloat16 and not calls


def test_names_copies_and_pickles_stay() -> None:
    model = adapted()
    names, shown = list(model.state_dict()), repr(model)
    expected = computed(model, inputs())
    in_few_passes(model)
    assert list(model.state_dict()) == names and repr(model) == shown
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other.base_model.model.proj) is type(model.base_model.model.proj)
        assert max(apart(computed(other, inputs()), expected)) < 1e-6
    merged = model.merge_and_unload()
    assert type(merged.proj) is nn.Linear and max(apart([merged(inputs())], expected[:1])) < 1e-6


@pytest.mark.parametrize("options", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_no_tokens_give_no_gradient(options: dict[str, Any]) -> None:
    result, of_x, *rest = computed(in_few_passes(adapted(**options)), inputs(0, INTO))
    assert result.shape == (0, OUT) and of_x.shape == (0, INTO)
    assert all(not gradient.any() for gradient in rest)


def checkpointed(model: Any, reentrant: bool) -> Any:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=reentrant)

    return Checkpointed()


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_computes_the_same(reentrant: bool) -> None:
    model = in_few_passes(adapted())
    expected = computed(model, inputs())
    found = computed(checkpointed(model, reentrant), inputs())
    assert max(apart(found, expected)) == 0


def test_the_input_is_kept_once_and_not_copied() -> None:
    """Of bf16 inputs nothing is saved but they themselves, and (R, N) of the adapter's."""
    model = in_few_passes(adapted())
    model.base_model.model.proj.base_layer.bfloat16()
    x, saved = inputs().bfloat16().requires_grad_(), {}
    own = {weight.data_ptr() for weight in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        model(x)
    assert saved.pop(x.data_ptr()) == x.numel() and list(saved.values()) == [8 * 2 * TOKENS]


@pytest.mark.slow
def test_compiled_it_is_the_same(calls: list[str]) -> None:
    model = in_few_passes(adapted())
    expected = computed(model, inputs())
    found = computed(torch.compile(model, backend="eager"), inputs())
    assert len(calls) == 1 and max(apart(found, expected)) < 1e-6


def test_a_model_learns_as_with_peft(tiny_llama: Path, tiny_bpe: Any) -> None:
    def losses(few_passes: bool) -> Any:
        torch.manual_seed(0)
        model = get_peft_model(load_plain(tiny_llama), LoraConfig(r=4, target_modules="all-linear"))
        model = in_few_passes(model) if few_passes else model
        return train(model.train(), collate(examples(tiny_bpe)), steps=5, learning_rate=1e-2)

    theirs = losses(few_passes=False)
    assert theirs[-1] < theirs[0] and losses(few_passes=True) == pytest.approx(theirs, rel=1e-5)


def test_norms_of_rows_are_those_of_the_whole_matrix() -> None:
    weight, first, second = inputs(OUT, INTO), inputs(8, INTO), inputs(OUT, 8)
    whole = weight.double() + 0.5 * second.double() @ first.double()
    assert apart([dora.norms_of(weight, first, second, 0.5)], [whole.norm(dim=1)])[0] < 1e-6
