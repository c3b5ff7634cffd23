"""What is shown of examples with the columns of every stage, and of such as no stage of ours makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.types import DatasetSplits
from tunesmith_command_data import Data
from tunesmith_library_testing import CommandSuite
from tunesmith_library_testing.parts import CHATML


class TestData(CommandSuite):
    plugin = Data


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def labels(text: str) -> list[int]:
    """The tokens of a text, of which those in capitals are trained."""
    return [ord(letter) if letter.isupper() else -100 for letter in text]


class Letters:
    """A tokenizer whose tokens are letters."""

    special_tokens_map: dict[str, str] = {}
    chat_template = None

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        assert not skip_special_tokens
        return "".join(map(chr, tokens))


@plugin
class Model:
    """Has a tokenizer of letters and no weights."""

    path: str  # folder

    @hookimpl
    def resolve_precision(self, requested: str) -> str:
        return "fp32"

    @hookimpl
    def load_processor(self, source: Any) -> Any:
        return Letters()

    @hookimpl
    def load_model(self, source: Any) -> Any:
        raise AssertionError("nothing of the model is needed to show data")


@plugin
class Template:
    """ChatML."""

    @hookimpl
    def chat_template(self, processor: Any, source: Any) -> Any:
        return CHATML


@plugin
class Hub:
    """Files that are here."""

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        return Path(address)


@plugin
class Encoded:
    """Gives the stage two rows, and its columns as they are or as arrays."""

    arrays: bool = False  # as numpy gives them
    endless: bool = False  # a stream
    held_out: int = 0  # examples of an evaluation set

    @hookimpl
    def build_dataset(self, fetch: Any, to_rows: Any, encode: Any) -> DatasetSplits:
        columns = encode([{"text": "one"}, {"text": "two"}])
        count = len(next(iter(columns.values()), []))
        made = [{name: values[index] for name, values in columns.items()} for index in range(count)]
        if self.arrays:
            made = [{name: np.asarray(value) for name, value in example.items()} for example in made]
        held_out = {"held": [{}] * self.held_out} if self.held_out else {}
        return DatasetSplits(iter(made) if self.endless else made, held_out)


def stage(**columns: list[Any]) -> type:
    """A stage that makes these columns of whatever rows."""

    @plugin
    class Odd:
        """A stage."""

        @hookimpl
        def encode(self, rows: Any, processor: Any, template: Any) -> dict[str, list[Any]]:
            return columns

        @hookimpl
        def collate(self, examples: Any, padding_free: bool) -> Any: ...

        @hookimpl
        def compute_loss(self, model: Any, batch: Any) -> Any: ...

    return Odd


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Call `data show` with a stage of some columns; gives the lines that are printed."""
    kinds = {"model.transformers": Model, "template.auto": Template, "hub.local": Hub, "data.datasets": Encoded}

    def run(columns: dict[str, list[Any]], *words: str) -> list[str]:
        catalog = Catalog.of({**kinds, "stage.sft": stage(**columns)})
        monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: catalog))
        result = CliRunner().invoke(Data().command(), ["show", f"model.path={tmp_path}", *words])
        assert result.exit_code == 0, result.output
        return [line.rstrip("─ ") for line in result.stdout.splitlines()]

    return run


@pytest.mark.parametrize("arrays", ["false", "true"])
def test_trained_tokens_are_marked(show: Any, arrays: str) -> None:
    columns = {"input_ids": [ids("ask ANSWER."), ids("NO")], "labels": [labels("ask ANSWER."), labels("NO")]}
    assert show(columns, f"data.arrays={arrays}") == [
        "example 0   11 tokens, 6 trained",
        "ask ⟦ANSWER⟧.",
        "example 1   2 tokens, 2 trained",
        "⟦NO⟧",
        "train: 2 examples",
    ]


def test_what_tokens_weigh_is_shown(show: Any) -> None:
    said = "ask ANSWER"
    weights = [0.0] * 4 + [1.0, 1.0, 2.5, 2.5, 0.25, 0.25]
    lines = show({"input_ids": [ids(said)], "labels": [labels(said)], "weights": [weights]})
    assert lines[:2] == ["example 0   10 tokens, 6 trained", "ask ⟦AN⟧⟦2.5×SW⟧⟦0.25×ER⟧"]
    assert show({"input_ids": [ids(said)], "labels": [labels(said)], "weights": [[1.0]]})[2] == "weights: 1 number: 1"


def test_several_sequences_of_one_example(show: Any) -> None:
    columns = {f"{name}_input_ids": [ids(f"ask {name.upper()}")] for name in ("chosen", "rejected")}
    columns |= {f"{name}_labels": [labels(f"ask {name.upper()}")] for name in ("chosen", "rejected")}
    assert show(columns) == [
        "example 0 chosen  10 tokens, 6 trained",
        "ask ⟦CHOSEN⟧",
        "example 0 rejected  12 tokens, 8 trained",
        "ask ⟦REJECTED⟧",
        "train: 1 example",
    ]


def test_media_are_told_by_place_and_size(show: Any, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    said = "<img>" * 40 + "What? " + "<img>" * 2 + "YES"
    images = [{"path": str(tmp_path / "a.png"), "bytes": None}, {"path": None, "bytes": b"none"}]
    columns = {"input_ids": [ids(said)], "labels": [labels(said)], "images": [images], "videos": [[]],
               "chosen_audios": [[images[1]]]}  # fmt: skip
    first, text, one, two, three, last = show(columns, "-n", "1")
    assert (first, last) == ("example 0   219 tokens, 4 trained", "train: 1 example")
    assert text == "<img>×40⟦W⟧hat? <img><img>⟦YES⟧"
    assert one == f"image 1: {tmp_path}/a.png, 30 × 20 pixels"
    assert two.startswith("image 2: an image of 4 bytes: it is no image")
    assert three.startswith("chosen audio 1: a sound of 4 bytes: it is no sound")


@pytest.mark.parametrize("arrays", ["false", "true"])
def test_prompts_and_other_columns(show: Any, arrays: str) -> None:
    """Tokens without labels are plain text; what is no tokens has its name and value."""
    columns = {
        "prompt_input_ids": [ids("How [many]?")],
        "row": ['{"answer": "3"}\n' + "x" * 200],
        "label": [True],
        "weights": [[0.5] * 60],
        "margin": [0.25],
        "lengths": [[3, 4]],
        "nothing": [[]],
    }
    long = ", ".join(["0.5"] * 60)
    row = '{"answer": "3"}\\n' + "x" * 200
    assert show(columns, f"data.arrays={arrays}") == [
        "example 0 prompt  11 tokens",
        "How [many]?",
        f"row: {row[:99]}…",
        "label: True",
        f"weights: 60 numbers: {long[:99]}…",
        "margin: 0.25",
        "lengths: 2 numbers: 3, 4",
        "nothing: 0 numbers",
        "train: 1 example",
    ]


def test_an_adapter_that_adds_tokens_counts(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What training encodes with is shown; an adapter without options of its own is not asked for."""

    @plugin
    class Adding:
        """Makes the tokenizer write `<` for a token."""

        tokens: str = ""  # what stands for a token

        @hookimpl(wrapper=True)
        def load_processor(self) -> Any:
            processor = yield
            processor.decode = lambda tokens, skip_special_tokens: self.tokens * len(tokens)
            return processor

        @hookimpl
        def apply_adapter(self, model: Any, trained: Any, source: Any) -> Any:
            raise AssertionError("nothing of the model is needed to show data")

        @hookimpl
        def merge_adapter(self, model: Any) -> Any: ...

    made = Catalog.of
    monkeypatch.setattr(Catalog, "of", lambda classes: made({**classes, "adapter.lora": Adding}))
    columns = {"input_ids": [ids("abc")], "labels": [ids("abc")]}
    assert show(columns)[1] == "⟦abc⟧"
    assert show(columns, "adapter.tokens=<")[1] == "⟦<<<⟧"


def test_columns_of_no_stage_that_is_known(show: Any) -> None:
    """Nothing is left out: labels of another length, tokens that are none, mappings, null."""
    columns = {
        "input_ids": [ids("ab")],
        "labels": [[1, 2, 3]],
        "pixel_input_ids": [[[1, 2], [3, 4]]],
        "media": [{"images": ["a.png"]}],
        "dataset": [None],
    }
    assert show(columns) == [
        "example 0   2 tokens",
        "ab",
        "labels: 3 numbers: 1, 2, 3",
        "pixel_input_ids: [[1, 2], [3, 4]]",
        "media: {'images': ['a.png']}",
        "dataset: None",
        "train: 1 example",
    ]
    assert show({"score": [0.5]}) == ["example 0", "score: 0.5", "train: 1 example"]


def test_examples_without_columns_and_none_at_all(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert show({"input_ids": []}, "data.held_out=2") == ["train: 0 examples, held: 2 examples"]
    monkeypatch.setattr(Encoded, "build_dataset", hookimpl(lambda self: DatasetSplits([{}])))
    assert show({}) == ["example 0  no columns", "train: 1 example"]


def test_as_many_as_are_asked_for(show: Any) -> None:
    columns = {"score": list(range(9))}
    assert [line for line in show(columns, "-n", "2") if "example" in line] == [
        "example 0",
        "example 1",
        "train: 9 examples",
    ]
    assert len(show(columns, "-n", "20")) == 9 * 2 + 1
    assert show(columns, "-n", "1", "data.endless=true") == ["example 0", "score: 0", "train: a stream"]


def test_the_trained_tokens_are_green_on_a_terminal() -> None:
    from rich.console import Console
    from tunesmith_command_data.showing import print_examples

    console = Console(force_terminal=True, color_system="standard", width=40, record=True)
    example = {"input_ids": ids("ask ANSWER"), "labels": labels("ask ANSWER")}
    print_examples(Letters(), DatasetSplits([example]), 1, console)
    assert "\x1b[2mask \x1b[0m\x1b[1;32mANSWER\x1b[0m" in console.export_text(styles=True)


def test_help_says_what_it_does() -> None:
    said = CliRunner().invoke(Data().command(), ["--help"]).stdout
    assert "Show and encode what a run would train on" in said and "tunesmith data show my.yaml" in said
    assert "show Render examples with all their columns." in " ".join(said.split())
