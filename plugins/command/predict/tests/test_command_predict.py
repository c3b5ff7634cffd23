"""Predictions of a tiny model against those of `tunesmith.chat`, cut short and gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith import DataError
from tunesmith.errors import ConfigError, Interrupted
from tunesmith.types import Piece
from tunesmith_command_predict import Predict
from tunesmith_library_evaluating.prompts import prompt_of
from tunesmith_library_testing import CommandSuite

ROWS = [{"instruction": f"Say {number}.", "input": "", "output": f"{number}."} for number in range(5)]


class TestPredict(CommandSuite):
    plugin = Predict


@pytest.fixture
def given(tiny_llama: Path, tmp_path: Path) -> dict[str, Any]:
    """A data set, and the arguments of `predict` for an untrained model."""
    for package in (
        "engine_transformers",
        "data_datasets",
        "format_alpaca",
        "hub_local",
        "template_chatml",
        "stage_sft",
    ):
        pytest.importorskip(f"tunesmith_{package}")
    (tmp_path / "test.json").write_text(json.dumps(ROWS))
    overrides = [
        f"model.path={tiny_llama}",
        "template=chatml",
        f"data.eval=[{tmp_path / 'test.json'}]",
        f"data.cache_dir={tmp_path / 'cache'}",
        "engine.temperature=0",
        "engine.max_new_tokens=5",
        "precision=fp32",
    ]
    return {"config": None, "overrides": overrides, "output": tmp_path / "out" / "predictions.jsonl"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_answers_each_prompt(given: dict[str, Any], tmp_path: Path) -> None:
    import tunesmith
    from tunesmith_command_predict.predicting import predict

    written = lines(predict(**given))
    prompts = [[{"role": "user", "content": row["instruction"]}] for row in ROWS]
    assert [line["prompt"] for line in written] == prompts
    assert [line["answer"] for line in written] == [row["output"] for row in ROWS]
    assert {line["dataset"] for line in written} == {"test"}
    overrides = [text for text in given["overrides"] if not text.startswith("data.")]
    assert [line["prediction"] for line in written] == tunesmith.chat(None, prompts, overrides)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.jsonl"]
    with pytest.raises(ConfigError, match="exists already"):
        predict(**given)
    with pytest.raises(ConfigError, match=r"out.predictions\.jsonl exists already"):  # where it is by output_dir, too
        predict(None, [*given["overrides"], f"output_dir={tmp_path / 'out'}"])
    with pytest.raises(ConfigError, match="is no folder"):
        predict(None, [*given["overrides"], f"output_dir={tmp_path / 'test.json'}"])


def test_goes_on_where_it_was_cut(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is not answered again, and a line that is half there is; draws are the same."""
    from tunesmith_command_predict.predicting import predict
    from tunesmith_library_engine.sessions import ChatSession

    answer, asked = ChatSession.answer, []

    def cut(self: Any, conversations: Any, sampling: Any = None) -> Any:
        asked.append(len(conversations))
        left = 4
        for piece in answer(self, conversations, sampling):
            yield piece
            left -= piece.finish_reason is not None
            if not left:
                raise KeyboardInterrupt

    given["overrides"] += ["engine.temperature=1", "engine.batch_size=2"]
    whole = lines(predict(**{**given, "output": given["output"].with_name("whole.jsonl")}))
    assert len({line["prediction"] for line in whole}) > 1
    with monkeypatch.context() as patched:
        patched.setattr(ChatSession, "answer", cut)
        with pytest.raises(Interrupted, match=r"goes on from .*\.part"):
            predict(**given)
    assert not given["output"].exists()
    (part,) = given["output"].parent.glob("*.part")
    assert lines(part) == whole[:4]
    part.write_text(part.read_text(encoding="utf-8")[:-5], encoding="utf-8")

    def counted(self: Any, conversations: Any, sampling: Any = None) -> Any:
        asked.append(len(conversations))
        return answer(self, conversations, sampling)

    monkeypatch.setattr(ChatSession, "answer", counted)
    assert lines(predict(**given)) == whole
    assert asked == [5, 2], "three lines were whole"
    assert not list(given["output"].parent.glob("*.part"))


def test_lines_come_in_the_order_of_the_data() -> None:
    """Each as soon as it and those before it are answered."""
    from tunesmith_command_predict.predicting import _answered

    told: list[str] = []

    class Session:
        def answer(self, conversations: Any, sampling: Any) -> Any:
            for index, text, reason in [(1, "b", "stop"), (0, "a", None), (2, "c", "stop"), (0, "A", "length")]:
                told.append(text)
                yield Piece(index, text, finish_reason=reason)

    prompts = [prompt_of("set", {"prompt": [USER]})] * 3
    made = [(json.loads(line)["prediction"], list(told)) for line in _answered(Session(), prompts, 0)]  # type: ignore[arg-type]
    assert made == [(text, ["b", "a", "c", "A"]) for text in ("aA", "b", "c")]


def test_other_options_do_not_mix(given: dict[str, Any]) -> None:
    """What another configuration left unfinished is not gone on with."""
    from tunesmith.compose import compose
    from tunesmith_command_predict.predicting import _part
    from tunesmith_command_predict.prompts import prompts_of

    prompts = prompts_of(compose(None, given["overrides"]))
    parts = {_part(given["output"], None, given["overrides"], prompts)}
    parts.add(_part(given["output"], None, [*given["overrides"], "engine.max_new_tokens=6"], prompts))
    parts.add(_part(given["output"], None, given["overrides"], prompts[1:]))
    assert len(parts) == 3
    assert parts & {_part(given["output"], None, given["overrides"], prompts)}


def test_of_a_run(given: dict[str, Any], tiny_llama: Path, tmp_path: Path) -> None:
    """From the command line, on a run's folder, into that folder."""
    run = tmp_path / "run"
    shutil.copytree(tiny_llama, run)
    (run / "run.yaml").write_text(
        f"model: {{name: transformers, path: {tiny_llama}}}\ntemplate: chatml\nprecision: fp32\n"
        "data: {name: datasets, train: [gone.json], val_size: 0.5, streaming: true, "
        f"cache_dir: {tmp_path / 'cache'}}}\n"
        "stage: {name: sft, max_length: 512}\nadapter: full\nengine: {max_new_tokens: 4, temperature: 0}\n"
    )
    arguments = [
        str(run),
        f"data.eval=[{tmp_path / 'test.json'}]",
    ]
    result = CliRunner().invoke(Predict().command(), arguments)
    assert result.exit_code == 0, result.output
    assert [line["answer"] for line in lines(run / "predictions.jsonl")] == [row["output"] for row in ROWS]


def test_nothing_to_predict(tiny_llama: Path) -> None:
    from tunesmith_command_predict.predicting import predict

    with pytest.raises(ConfigError, match=r"data\.eval is empty"):
        predict(None, [f"model.path={tiny_llama}", "data.val_size=0.5"])


USER, ASSISTANT = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}


@pytest.mark.parametrize(
    ("row", "messages", "answer"),
    [
        ({"messages": [USER, ASSISTANT]}, [USER], "I."),
        ({"messages": [USER, ASSISTANT, USER, ASSISTANT]}, [USER, ASSISTANT, USER], "I."),
        ({"messages": [USER]}, [USER], None),
        ({"prompt": [USER], "chosen": [ASSISTANT], "rejected": [USER]}, [USER], "I."),
        ({"prompt": [USER], "completion": [ASSISTANT], "label": True}, [USER], "I."),
        ({"prompt": [USER], "completion": [ASSISTANT], "label": False}, [USER], None),
        ({"prompt": [USER]}, [USER], None),
    ],
)
def test_rows(row: dict[str, Any], messages: list[Any], answer: str | None) -> None:
    prompt = prompt_of("set", row)
    assert (prompt.messages, prompt.answer) == (messages, answer)


def test_prompts_with_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the prompt shows is read when it is answered, a part of the prompts at a time; the answer's is left out."""
    from tunesmith_command_predict import predicting

    sea, inline = tmp_path / "sea.png", {"path": None, "bytes": "data:;base64,d2F2ZXM="}
    sea.write_bytes(b"sea")
    parts = [{"type": "image"}, {"type": "text", "text": "or"}, {"type": "image"}, {"type": "audio"}]
    asked, answer = {"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "image"}]}
    media = {"images": [str(sea), inline, "left.png"], "audios": [{"path": str(sea), "bytes": None}]}
    shown = [
        {"type": "image", "image": b"sea"},
        {"type": "text", "text": "or"},
        {"type": "image", "image": b"waves"},
        {"type": "audio", "audio": b"sea"},
    ]
    rows = [{"messages": [asked, answer], **media}, {"prompt": [asked], "chosen": [answer], **media}]
    prompts = [prompt_of("set", row) for row in rows]
    for prompt in prompts:
        assert prompt.shown(()) == [{"role": "user", "content": shown}] and prompt.messages == [asked]
        assert prompt.places == {"images": [str(sea), None], "audios": [str(sea)]}
    spoken = {"role": "assistant", "content": [{"type": "text", "text": "It is "}, {"type": "image"}]}
    assert prompt_of("set", {"messages": [asked, spoken], **media}).answer == "It is "
    with pytest.raises(DataError, match=r"image left\.png: it cannot be read"):
        prompt_of("set", {"prompt": [{"role": "user", "content": parts[:1]}], "images": ["left.png"]}).shown(())

    class Session:
        handle = SimpleNamespace(processor=None)

        def answer(self, conversations: Any, sampling: Any) -> Any:
            for index in range(len(conversations)):
                yield Piece(index, str(sampling.seed + index), finish_reason="stop")

    monkeypatch.setattr(predicting, "_AT_A_TIME", 2)
    made = [json.loads(line) for line in predicting._answered(Session(), prompts[:1] * 5, 7)]  # type: ignore[arg-type]
    assert [line["prediction"] for line in made] == ["7", "8", "9", "10", "11"]
    assert (made[0]["images"], made[0]["prompt"]) == ([str(sea), None], [asked])


def test_text_is_no_conversation() -> None:
    with pytest.raises(DataError, match="no conversation, but text"):
        prompt_of("set", {"text": "Once."})
