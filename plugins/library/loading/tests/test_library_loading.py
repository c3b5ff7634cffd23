"""Tokenizers, embeddings, and the numbers in which this machine computes."""

from __future__ import annotations

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_loading import precision
from tunesmith_library_loading.chatter import silence
from tunesmith_library_loading.precision import DTYPES, has_bf16, resolve
from tunesmith_library_loading.processors import fit_embeddings, load_processor
from tunesmith_library_testing.parts import load_plain


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("fp32") == "fp32" and set(DTYPES) == {"bf16", "fp16", "fp32"}
    with pytest.raises(TunesmithError, match="did you mean bf16"):
        resolve("bf61")
    assert not has_bf16("mps")
    if torch.accelerator.is_available():
        return
    for capabilities, expected in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ):
        monkeypatch.setattr(precision, "_cpu_capabilities", lambda found=capabilities: found)
        assert resolve("auto") == expected
    with pytest.raises(TunesmithError, match="needs a GPU"):
        resolve("fp16")


def test_emulated_bf16_is_a_choice(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    monkeypatch.setattr(precision, "_cpu_capabilities", dict)
    assert resolve("bf16") == "bf16" and "only emulates it" in caplog.text


def test_pad_token_is_set(tiny_bpe: Any, tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(tiny_bpe)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_processor(tmp_path, False).pad_token == "</s>"


def test_a_missing_tokenizer_is_explained(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TunesmithError, match=r"no tokenizer here(.|\n)*notes\.txt"):
        load_processor(tmp_path, False)
    with pytest.raises(TunesmithError, match="no such folder"):
        load_processor(tmp_path / "missing", False)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TunesmithError, match="the tokenizer cannot be loaded"):
        load_processor(tmp_path, False)


def test_chatter_is_for_errors(caplog: pytest.LogCaptureFixture) -> None:
    silence()
    logging.getLogger("torchao").warning("a kernel of mine does not fit")
    logging.getLogger("torchao").error("what went wrong")
    assert caplog.messages == ["what went wrong"]


def test_every_token_has_an_embedding(tiny_llama: Path) -> None:
    model, tokenizer = load_plain(tiny_llama), load_processor(tiny_llama, False)
    rows = model.get_input_embeddings().weight.shape[0]
    fit_embeddings(model, [0])
    assert model.get_input_embeddings().weight.shape[0] == rows, "a matrix that is larger stays as it is"
    tokenizer.add_tokens(["<new>", "<newer>"])
    fit_embeddings(model, tokenizer)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == rows + 2


def test_without_the_packages_of_a_processor_text_is_still_read(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is told; a processor that is broken in another way stays an error."""
    from tunesmith_library_loading import processors

    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    (folder / "preprocessor_config.json").write_text("{}")

    def fail(error: Exception) -> None:
        def load(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(processors.AutoProcessor, "from_pretrained", load)

    fail(ImportError("\nThis needs the Torchvision library.\nSee the installation page."))
    with caplog.at_level(logging.INFO, "tunesmith"):
        assert load_processor(folder, False).encode("tide")
    assert "processor: the tokenizer alone, for text (This needs the Torchvision library" in caplog.text
    fail(ValueError("no such size"))
    with pytest.raises(TunesmithError, match="the processor cannot be loaded: no such size"):
        load_processor(folder, False)
