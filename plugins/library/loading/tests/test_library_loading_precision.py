"""What `precision=auto` is on a processor that computes in both types: fixed rules, what is measured, what is kept."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.traits import AdapterTraits, StageTraits
from tunesmith.types import Precision
from tunesmith_library_caching.places import PRECISIONS, kept_in
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.records import MARKER
from tunesmith_library_estimates import room
from tunesmith_library_estimates.room import Room
from tunesmith_library_loading import comparing, precision, remembered
from tunesmith_library_loading.pieces import NoPiece, Piece, add_low_rank, piece_of
from tunesmith_library_loading.remembered import Times, keep, recall
from tunesmith_library_loading.work import Purpose, Task, Work, is_small, products, task_of, work_of
from tunesmith_library_testing.parts import StubPlan

LLAMA: dict[str, Any] = {
    **{"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16},
    **{"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256},
}
SLOWER, FASTER = Times(fp32=1.0, bf16=1.25), Times(fp32=1.0, bf16=0.5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, on a processor that has bf16."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    return kept_in(PRECISIONS)


def counted(times: Times) -> Any:
    """Measures that by `times`, and counts how often."""

    def compare(work: Work) -> Times:
        compare.calls += 1  # type: ignore[attr-defined]
        return times

    compare.calls = 0  # type: ignore[attr-defined]
    return compare


def folder_of(tmp_path: Path, **config: Any) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**LLAMA, **config}), encoding="utf-8")
    return folder


# ---- fixed rules -----------------------------------------------------------------------------------------------------


def test_small_models_are_exact_and_nothing_is_measured(
    tiny_llama: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tunesmith"):
        assert precision.resolve("auto", tiny_llama, Task("adapter")) == "fp32"
    assert "precision: fp32 (the model is too small to gain by bf16)" in caplog.text and not cache.exists()


def test_products_of_a_token() -> None:
    """Against a count by hand: output layer, then per layer four squares and three products with the width."""
    assert products(LLAMA) == 128_256 * 2048 + 16 * (4 * 2048**2 + 3 * 2048 * 8192)
    mixture = {**LLAMA, "num_experts_per_tok": 4, "moe_intermediate_size": 4096}
    assert products(mixture) == 128_256 * 2048 + 16 * (4 * 2048**2 + 3 * 2048 * 4 * 4096)
    assert products({"d_inner": 5}) is None and not is_small({"d_inner": 5})


@pytest.mark.parametrize(("held", "expected"), [(False, "bf16"), (True, "fp32")])
def test_weights_that_would_fill_the_memory_are_held_in_bf16(
    held: bool, expected: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the bytes of a model that is stored in bf16, against half of the memory; few bits take less anyway."""
    folder = folder_of(tmp_path, dtype="bfloat16")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    for task, weighed in ((Task("answers"), 2000.0), (Task("answers", in_few_bits=True), 0.0)):
        work = work_of(folder, task)
        assert work is not None and work.whole_bytes == weighed
    monkeypatch.setattr(room, "of_host", lambda processes: Room(4000.0 if held else 3999.0, 0.5))
    work = work_of(folder, Task("answers"))
    assert work is not None and precision.decide(work, counted(SLOWER))[0] == expected


def test_what_is_not_to_be_measured_goes_by_the_processor(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for path, task in ((folder, None), (folder, Task(None)), (tmp_path, Task("whole"))):
        assert precision.resolve("auto", path, task) == "bf16"
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert precision.resolve("auto", folder, Task("whole")) == "bf16"


def test_what_plans_do() -> None:
    class Adapter:
        traits = AdapterTraits(beside=True)

    assert task_of(StubPlan({"adapter": {"some": Adapter()}})).purpose == "adapter"
    assert task_of(StubPlan({"adapter": {"other": None}})).purpose == "whole"
    assert task_of(StubPlan({}, command="chat")).purpose == "answers"
    assert task_of(StubPlan({"engine": {"elsewhere": None}}, command="chat")).purpose is None
    assert task_of(StubPlan({}, command="encode")).purpose is None
    assert task_of(StubPlan({"quantizer": {"some": None}})).in_few_bits


@pytest.mark.parametrize(("merged", "additive", "expected"), [("auto", True, 3), ("auto", False, 1), (False, True, 1)])
def test_sequences_of_a_forward_pass(merged: Any, additive: bool, expected: int) -> None:
    """Of accumulated passes that are merged all, and never more than are told apart."""

    class Stage:
        traits = StageTraits(additive=additive)

    trainer = {"trainer.gradient_accumulation_steps": 3, "trainer.merge_accumulation": merged}
    for batch, found in ((1, expected), (9, 4)):
        values = {**trainer, "trainer.per_device_train_batch_size": batch}
        assert task_of(StubPlan({"stage": {"some": Stage()}}, values=values)).sequences == found
    assert recall(Work(LLAMA, "adapter", 1)) is None and task_of(StubPlan({})).sequences == 4


# ---- a run that goes on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "able", "expected"),
    [
        ({"precision": "bf16"}, True, "bf16"),
        ({"precision": "fp32"}, True, "fp32"),
        ({"precision": "bf16"}, False, "fp32"),  # another machine, which would only emulate it
        ({}, True, "bf16"),  # by an earlier version, which knew one rule
    ],
)
def test_a_resumed_run_takes_what_the_interrupted_one_took(
    told: dict[str, str], able: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, checkpoint = folder_of(tmp_path), tmp_path / "checkpoint-2"
    checkpoint.mkdir()
    manifests.seal(checkpoint, MARKER, told)
    plan = StubPlan({})
    object.__setattr__(plan, "resumed", checkpoint)
    task = task_of(plan)
    work = work_of(folder, task)
    assert work is not None
    keep(work, SLOWER if expected == "bf16" else FASTER)  # what would be chosen anew
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {"avx512_bf16": able})
    assert precision.resolve("auto", folder, task) == expected
    assert remembered.known(folder, task, {}) == (told.get("precision") if told else None)


# ---- measured, and remembered ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "purpose", "expected"),
    [
        (FASTER, "adapter", "bf16"),
        (SLOWER, "adapter", "fp32"),
        (Times(1.0, 0.98), "whole", "fp32"),  # alike: training is exact
        (Times(1.0, 1.02), "answers", "bf16"),  # alike: half of the memory
        (SLOWER, "answers", "fp32"),
    ],
)
def test_the_faster_type_wins(times: Times, purpose: Purpose, expected: Precision) -> None:
    chosen, why = precision.decide(Work(LLAMA, purpose), counted(times))
    assert chosen == expected
    share = times.bf16 / times.fp32 if expected == "bf16" else times.fp32 / times.bf16
    assert why.startswith("measured: ") and f"takes {share:.2f} times as long as in" in why


def test_what_was_measured_is_remembered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare, other, work = counted(SLOWER), counted(FASTER), Work(LLAMA, "adapter")
    assert precision.decide(work, compare)[0] == "fp32"
    chosen, why = precision.decide(Work({**LLAMA, "eos_token_id": 7, "_name": "copy"}, "adapter"), other)
    assert (chosen, why[:15]) == ("fp32", "measured before") and (compare.calls, other.calls) == (1, 0)
    anew = [Work({**LLAMA, "num_hidden_layers": 17}, "adapter"), Work(LLAMA, "whole"), Work(LLAMA, "adapter", 1)]
    assert [precision.decide(each, other)[0] for each in anew] == ["bf16"] * 3
    for name, value in (("OMP_NUM_THREADS", "61"), ("OMP_NUM_THREADS", "62")):
        monkeypatch.setenv(name, value)
        assert recall(work) is None
        precision.decide(work, other)
    monkeypatch.setattr(metadata, "version", lambda name: "9.9")
    assert recall(work) is None and len(list(cache.iterdir())) == 6


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"fp32": 1}', '{"fp32": "x", "bf16": 1}', '{"fp32": 0, "bf16": 1}'])
def test_a_broken_file_is_measured_anew(broken: str, cache: Path) -> None:
    work = Work(LLAMA, "adapter")
    keep(work, SLOWER)
    (file,) = cache.iterdir()
    file.write_text(broken, encoding="utf-8")
    assert precision.decide(work, counted(FASTER))[0] == "bf16" and recall(work) == FASTER


def test_what_cannot_be_remembered_or_tried_falls_back(cache: Path) -> None:
    """A run that could not take the same again would not repeat itself."""

    def fails(work: Work) -> Times:
        raise NoPiece("no such layers")

    work = Work(LLAMA, "adapter")
    assert precision.decide(work, fails) == (
        "bf16",
        "this cpu computes in it; which is faster cannot be tried: no such layers",
    )
    cache.parent.parent.write_text("a file in its place", encoding="utf-8")
    chosen, why = precision.decide(work, counted(SLOWER))
    assert chosen == "bf16" and "cannot be remembered" in why


def test_the_best_of_several_counts() -> None:
    """The first round warms up; of the others the shortest time counts."""
    given: dict[str, Iterator[float]] = {"fp32": iter((9.0, 3.0, 2.0, 4.0)), "bf16": iter((0.1, 5.0, 6.0, 7.0))}
    assert comparing.best_of(lambda precision: next(given[precision])) == Times(fp32=2.0, bf16=5.0)


PROCESS = """
import sys
from tunesmith_library_loading.precision import agreed
from tunesmith_library_loading.work import Work
print(agreed(Work({"model_type": "llama"}, sys.argv[1]), lambda work: (sys.argv[2], "measured")))
"""


@pytest.mark.slow
def test_two_processes_decide_alike() -> None:
    """That of the first counts, whatever another one would have found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, "adapter", own],
            env={**shared, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, own in (("0", "fp32"), ("1", "bf16"))
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["('fp32', 'measured')"] * 2


# ---- pieces ----------------------------------------------------------------------------------------------------------

TINY: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3_moe": {"num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "gemma3_text": {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16},
    "qwen3_5_text": {
        **{"layer_types": ["linear_attention", "full_attention"] * 3, "linear_num_key_heads": 2},
        **{"linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "head_dim": 32},
    },
}
SIZES: dict[str, Any] = {
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512},
}


@pytest.mark.parametrize("kind", TINY)
def test_a_piece_has_a_layer_of_each_kind(kind: str) -> None:
    piece = piece_of({**SIZES, **TINY[kind], "model_type": kind}, most=1e6)
    kinds = set(TINY[kind].get("layer_types", ()))
    assert kinds <= set(getattr(piece.decoder.config, "layer_types", None) or ())
    assert piece.layers == 6 / len(piece.decoder.layers) and piece.vocabulary == 1
    assert piece.stateful == (kind in ("falcon_h1", "qwen3_5_text")) and piece.concatenated != piece.stateful


def test_a_wide_model_is_narrower_in_its_piece() -> None:
    """Its products are within the bound, and what was left out is in the factors."""
    piece = piece_of(LLAMA, most=2**23)
    layer = sum(weight.numel() for weight in piece.decoder.layers[0].parameters() if weight.dim() > 1)
    assert layer <= 2**23 and piece.decoder.config.vocab_size == piece.head.out_features == 8192
    narrower = 2048 // piece.decoder.config.hidden_size
    assert narrower in (2, 4, 8) and piece.layers == narrower**2 * 16 / len(piece.decoder.layers)
    assert piece.vocabulary == pytest.approx(narrower * 128_256 / 8192)


def test_no_piece_is_made_of_what_is_not_known() -> None:
    for described in ({"model_type": "nobody's"}, {}, {**LLAMA, "auto_map": {"AutoConfig": "theirs.Config"}}):
        with pytest.raises(NoPiece):
            piece_of(described, most=1e6)


@pytest.mark.parametrize("purpose", ["adapter", "whole", "answers"])
@pytest.mark.parametrize("kind", ["llama", "qwen3_moe"])
def test_both_types_are_timed(kind: str, purpose: Purpose) -> None:
    """Nobody's random numbers are touched."""
    state = torch.get_rng_state()
    times = comparing.compare(Work({**SIZES, **TINY[kind], "num_hidden_layers": 2, "model_type": kind}, purpose))
    assert 0 < times.fp32 < 60 and 0 < times.bf16 < 60
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_trained_in_a_piece() -> None:
    """The matrices beside the layers get gradients, and the frozen weights none."""
    piece: Piece = piece_of({**SIZES, "num_hidden_layers": 1, "model_type": "llama"}, most=1e5)
    before = dict(piece.decoder.named_parameters())
    add_low_rank(piece.decoder)
    piece.decoder(torch.arange(8)[None], use_cache=False).last_hidden_state.sum().backward()
    assert all(weight.grad is None for weight in before.values())
    hooks = [hook for module in piece.decoder.modules() for hook in module._forward_hooks.values()]
    assert len(hooks) >= 7
