"""What every exporter keeps to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError

from tunesmith_library_testing.damage import Break, Damage
from tunesmith_library_testing.estimated import check_estimate
from tunesmith_library_testing.parts import CHAT, CHATML, handle_of, load_plain, logits_of
from tunesmith_library_testing.suites.plugin import PluginSuite


class ExporterSuite(PluginSuite):
    """The tests of an `exporter` plugin, on a tiny Llama."""

    kind = "exporter"
    for_transformers: ClassVar[bool] = True  # False: what is written is not a folder that transformers loads
    tolerance: ClassVar[float] = 1e-5  # of logits, absolute, of the exported model
    # what the exporter's gate has to name, by what is wrong; at least a tensor, a special token and a character of the
    # template, where the format has them
    damages: ClassVar[Mapping[str, Damage]] = {}

    def export(self, folder: Path, tokenizer: Any, output_dir: Path, load: Any = None) -> Path:
        """What the hook gives for the tiny model."""
        handle = handle_of(folder, tokenizer, load=load)
        with handle.shared:  # as a command does: what exporters share goes with it
            written: Path = self.manager().hook.export(handle=handle, output_dir=output_dir)
        return written

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        """Let what the exporter writes be damaged before its gate looks; most often `damage.written_by`."""
        raise NotImplementedError("an exporter with `damages` says how they come about")

    def test_estimates_nothing_impossible(self) -> None:
        """What it says that it costs, if it does, are sizes, numbers of operations, and changes that can be typed."""
        check_estimate(self, "export")

    def test_writes_what_it_returns(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """The path that comes back is the output folder or in it, holds something, and nothing else was written."""
        output_dir = tmp_path / "there" / "export"
        written = self.export(tiny_llama, tiny_bpe, output_dir)
        assert isinstance(written, Path) and written.exists()
        assert written == output_dir or output_dir in written.parents
        files = [file for file in output_dir.rglob("*") if file.is_file()] if output_dir.is_dir() else [output_dir]
        assert files and all(file.stat().st_size for file in files)
        assert [entry.name for entry in output_dir.parent.iterdir()] == ["export"]
        assert not [file.name for file in files if file.suffix in (".bin", ".pt", ".pth", ".pkl")]

    def test_model_stays_as_it_was(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """The loaded model is other exporters' too: its weights and their numbers are not changed."""
        if type(self).export is not ExporterSuite.export:
            pytest.skip("the test class makes the model that is exported")
        model = load_plain(tiny_llama)
        before = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        self.export(tiny_llama, tiny_bpe, tmp_path / "export", lambda: model)
        after = model.state_dict()
        changed = [
            name
            for name, weight in before.items()
            if name not in after or after[name].dtype != weight.dtype or bool((after[name] != weight).any())
        ]
        assert not changed, f"changed by the export: {', '.join(changed[:3])}; write a copy"

    def test_failure_leaves_nothing(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """When it fails the error comes through, and nothing half written stays."""

        class _Torn:
            """A model that breaks while it is written."""

            def __getattr__(self, name: str) -> Any:
                raise OSError("no space left on device")

        for load in (lambda: _raise(OSError("no space left on device")), _Torn):
            with pytest.raises(OSError, match="no space left"):
                self.export(tiny_llama, tiny_bpe, tmp_path / "there" / "export", load)
            there = tmp_path / "there"
            assert not there.exists() or not list(there.iterdir()), f"left behind: {list(there.rglob('*'))}"

    @pytest.mark.slow
    def test_damage_is_named(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """What is broken on the way to the disk is named, one thing at a time, and nothing of it is kept."""
        if not self.damages:
            pytest.skip("without damages")
        for at, (what, damage) in enumerate(self.damages.items()):
            place = tmp_path / str(at) / "there"
            with self.damaged(damage.happen), pytest.raises(TunesmithError) as error:
                self.export(tiny_llama, tiny_bpe, place / "export")
            assert re.search(damage.named, str(error.value)), f"{what}: {error.value}"
            assert not list(place.iterdir()), f"{what}: left behind"

    def test_transformers_loads_it(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """Plain transformers loads the model with the same logits, and the tokenizer with the trained template."""
        if not self.for_transformers:
            pytest.skip("not meant for transformers")
        from transformers import AutoTokenizer

        written = self.export(tiny_llama, tiny_bpe, tmp_path / "export")
        difference = logits_of(load_plain(written), tiny_bpe) - logits_of(load_plain(tiny_llama), tiny_bpe)
        assert difference.abs().max().item() <= self.tolerance
        served = AutoTokenizer.from_pretrained(written)
        text = served.apply_chat_template(list(CHAT), tokenize=False)
        assert text == CHATML.render(CHAT).text


def _raise(error: Exception) -> Any:
    raise error
