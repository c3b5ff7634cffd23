"""Adapters that come and go while answers run: the base's answers and each adapter's against peft's own."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_library_testing.parts import handle_of, load_plain

PROMPT = [5, 6, 7, 8]
GREEDY = Sampling(max_new_tokens=10, temperature=0.0)


@contextlib.contextmanager
def opened(handle: Any, **options: Any) -> Iterator[Any]:
    engine = Transformers(**options).open_engine(handle)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def saved(tiny_llama: Path, tmp_path_factory: Any) -> tuple[Path, list[int], list[int]]:
    """A folder with an adapter, and what the model says without and with it, by transformers and peft."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(r=4, lora_dropout=0.5, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = load_plain(tiny_llama)
    base = said(model)
    adapted = get_peft_model(model, settings).eval()
    folder = tmp_path_factory.mktemp("adapter")
    adapted.save_pretrained(folder)
    return folder, base, said(adapted)


def said(model: Any) -> list[int]:
    ids = torch.tensor([PROMPT])
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
    return list(made[0, len(PROMPT) :].tolist())


def answer(engine: Any, adapter: str | None = None) -> list[int]:
    return list(engine.submit(Request(PROMPT, GREEDY, adapter=adapter)).result().token_ids)


def test_an_adapter_comes_and_goes(saved: Any, tiny_llama: Path, tiny_bpe: Any) -> None:
    folder, base, adapted = saved
    assert base != adapted
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        running = engine.submit(Request([9, 9], Sampling(max_new_tokens=120, temperature=0.0, logit_bias={1: -100.0})))
        next(iter(running))
        engine.load_adapter("v1.5", folder)
        assert not running.ended, "answers that run go on"
        assert engine.adapters == ("base", "v1.5")
        engine.load_adapter("again", folder)
        begun = [
            (name, engine.submit(Request(PROMPT, GREEDY, adapter=name))) for name in (None, "v1.5", "base", "again")
        ]
        for name, each in begun:
            assert list(each.result().token_ids) == (base if name in (None, "base") else adapted)
        engine.unload_adapter("v1.5")
        assert running.ended, "one goes when the answers before have ended"
        with pytest.raises(TunesmithError, match=r"no adapter 'v1\.5'"):
            engine.submit(Request(PROMPT, adapter="v1.5"))
        with pytest.raises(TunesmithError, match=r"'v1\.5' was not loaded"):
            engine.unload_adapter("v1.5")
        assert answer(engine, "again") == adapted
        engine.unload_adapter("again")
        assert engine.adapters == () and answer(engine) == base


def test_one_beside_the_adapter_that_the_model_has(saved: Any, tiny_llama: Path, tiny_bpe: Any) -> None:
    from peft import PeftModel

    folder, base, adapted = saved
    model = PeftModel.from_pretrained(load_plain(tiny_llama), folder, "own").eval()
    with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
        engine.load_adapter("other", folder)
        assert engine.adapters == ("base", "own", "other")
        assert [answer(engine, name) for name in (None, "base", "other")] == [adapted, base, adapted]
        with pytest.raises(TunesmithError, match="'own' was not loaded"):
            engine.unload_adapter("own")
    assert model.active_adapter == "own" and list(model.peft_config) == ["own", "loaded1"]


def damaged(folder: Path, made: Path, **change: Any) -> Path:
    """A copy with other weights (`shape`, `more`, `fewer`), settings, or without a file."""
    shutil.copytree(folder, made)
    settings, weights = made / "adapter_config.json", made / "adapter_model.safetensors"
    if "without" in change:
        (made / change["without"]).unlink()
        return made
    written = json.loads(settings.read_text(encoding="utf-8")) | change.get("settings", {})
    settings.write_text(json.dumps(written), encoding="utf-8")
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    if "shape" in change:
        tensors[name] = torch.zeros(change["shape"])
    if "more" in change:
        tensors[change["more"]] = torch.zeros(2, 2)
    if "fewer" in change:
        del tensors[name]
    save_file(tensors, weights)
    return made


def test_what_does_not_fit_changes_nothing(saved: Any, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    folder, base, adapted = saved
    cases: list[tuple[dict[str, Any], str]] = [
        ({"without": "adapter_config.json"}, "no adapter_config.json"),
        ({"without": "adapter_model.safetensors"}, "no adapter_model.safetensors"),
        ({"settings": {"r": 0}}, "the rank 0"),
        ({"settings": {"peft_type": "NOBODYS"}}, "cannot be read"),
        ({"settings": {"init_lora_weights": "pissa"}}, "changes the base's weights"),
        ({"settings": {"target_modules": ["nobody"]}}, "does not fit this model|trained for another model"),
        ({"shape": (4, 3)}, "does not fit this model"),
        ({"more": "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight"}, "has weights for .*layers.9"),
        ({"fewer": True}, "has no weights for"),
    ]
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        for number, (change, message) in enumerate(cases):
            with pytest.raises(TunesmithError, match=message):
                engine.load_adapter("wrong", damaged(folder, tmp_path / str(number), **change))
            assert engine.adapters == ()
        assert answer(engine) == base
        engine.load_adapter("right", folder)
        for number, (change, message) in enumerate(cases):
            with pytest.raises(TunesmithError, match=message):
                engine.load_adapter("wrong", damaged(folder, tmp_path / f"beside{number}", **change))
        assert engine.adapters == ("base", "right")
        assert (answer(engine), answer(engine, "right")) == (base, adapted)
        for name in ("right", "base", ""):
            with pytest.raises(TunesmithError, match="is taken"):
                engine.load_adapter(name, folder)
