"""Real conversations with tools and thoughts, under real tokenizers of three families: no row is lost, and the mask is
held against the conversations themselves, not against what a template says of it."""

import itertools
import json
from pathlib import Path

import pytest
from tunesmith import DataError, show

pytestmark = [pytest.mark.real, pytest.mark.slow]

FAMILIES = {"llama3_1": ("llama3", "<|eot_id|>"), "qwen3": ("qwen", "<|im_end|>"), "mistral": ("mistral", "</s>")}
SETS = ("glaive_toolcall_en_demo.json", "reason_tool_use_demo_50.jsonl")


def rows_of(file: Path) -> list[dict]:
    text = file.read_text(encoding="utf-8")
    return json.loads(text) if file.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def turns_of(row: dict) -> list[tuple[str, list[str]]]:
    """Who speaks, and what of it must stand in the text as it is: texts, and the names of called tools."""
    turns = []
    for turn in row.get("conversations") or row["messages"]:
        role, content = turn.get("from") or turn["role"], turn.get("value") or turn["content"]
        parts = content if isinstance(content, list) else [{"type": role, "value": content}]
        found = []
        for part in parts:
            if part["type"] in ("tool_call", "function_call"):
                found.append(json.loads(part["value"])["name"])
            elif part["type"] in ("text", "gpt", "human"):
                found.append(part["value"].strip())
        speaks = "assistant" if role in ("gpt", "function_call", "assistant") else role
        turns.append((speaks, found))
    return turns


def calls_several(row: dict) -> bool:
    contents = [turn["content"] for turn in row.get("messages", ()) if isinstance(turn["content"], list)]
    return any(sum(part["type"] == "tool_call" for part in content) > 1 for content in contents)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request, real_files, tmp_path_factory):
    name, stop = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(name)
    for file in (real_files / "tokenizers" / name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    return request.param, folder, stop


def encoded(family, file: Path):
    template, folder, _ = family
    data = {"train": [{"path": str(file)}], "cache": False, "num_proc": 1}
    processor, splits = show(
        {"model": {"path": str(folder)}, "template": template, "stage": {"max_length": 16384}, "data": data}
    )
    return processor, splits.train


@pytest.mark.parametrize("name", SETS)
def test_no_row_is_lost_and_the_answers_alone_are_trained(name, family, real_files, tmp_path: Path) -> None:
    template, _, stop = family
    file, rows = real_files / "data" / name, rows_of(real_files / "data" / name)
    if template == "llama3_1" and any(map(calls_several, rows)):
        first = next(number for number, row in enumerate(rows, start=1) if calls_several(row))
        with pytest.raises(DataError, match=rf"line {first}: .* Llama 3 calls one tool per turn"):
            encoded(family, file)
        rows = [row for row in rows if not calls_several(row)]
        file = tmp_path / "single.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    processor, examples = encoded(family, file)
    assert len(examples) == len(rows)
    for number, row in enumerate(rows):
        ids, labels = examples[number]["input_ids"].tolist(), examples[number]["labels"].tolist()
        runs = [
            (trained, processor.decode([token for token, _ in run]))
            for trained, run in itertools.groupby(zip(ids, labels, strict=True), key=lambda pair: pair[1] != -100)
        ]
        learned = "".join(text for trained, text in runs if trained)
        given = "".join(text for trained, text in runs if not trained)
        at = 0
        for speaker, texts in turns_of(row):
            for text in texts:
                if speaker == "assistant":
                    at = learned.find(text, at)
                    assert at >= 0, f"row {number + 1}: an answer is not trained, or not in its place: {text[:80]}"
                    at += len(text)
                elif speaker != "tool":  # whose results some templates write as JSON
                    assert text in given, f"row {number + 1}: a question is trained: {text[:80]}"
        answers = sum(speaker == "assistant" for speaker, _ in turns_of(row))
        assert learned.count(stop) == answers, f"row {number + 1}: each answer learns to end, and nothing else does"


def test_the_linter_names_the_rows_that_some_templates_refuse(real_files) -> None:
    from click.testing import CliRunner
    from tunesmith_command_data import Data

    file = real_files / "data" / SETS[1]
    words = ["check", str(file), "--json", "--only", "tool_call"]
    told = json.loads(CliRunner().invoke(Data().command(), words, standalone_mode=False).stdout)
    named = {finding["row"] for finding in told["findings"] if "at once" in finding["message"]}
    assert named == {number for number, row in enumerate(rows_of(file), start=1) if calls_several(row)}
