"""Malformed data: each file ends in an error that names file and place, or in examples and the number of those lost."""

import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from reliability.data_files import generate, outcome_of

# where a fault is, or that of all
PLACES = r"(line|row) \d+|no records|no known format|nothing to train on|is UTF-16|cannot be read|columns with the name"

ASK, SAY = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A whale."}
ALPACA = {"instruction": "Who?", "output": "A whale."}
CHAT = {"messages": [ASK, SAY]}
PAIR = {"prompt": "Who?", "chosen": "A whale.", "rejected": "A boat."}
TUNED = {"instruction": "Who?", "chosen": "A whale.", "rejected": "A boat."}
SHARE = {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "A whale."}]}
LABELLED = {"prompt": "Who?", "completion": "A whale.", "label": True}
TEXT = {"text": "The tide turns."}


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def second(good: dict[str, Any], **changed: Any) -> str:
    """Three records, the second of which has other values."""
    return lines(good, {**good, **changed}, good)


# (name of the file, content, stage, what the error says) of whole files; the place is that of the second record
ERRORS: list[tuple[str, str | bytes, str, str]] = [
    *(
        ("a.jsonl", second(good, **changed), stage, rf"a\.jsonl: line 2: `{path}` must be {wanted}")
        for good, changed, stage, path, wanted in (
            (ALPACA, {"instruction": 5}, "sft", "instruction", "text, found 5"),
            (ALPACA, {"input": ["a"]}, "sft", "input", "text"),
            (ALPACA, {"output": {"a": 1}}, "sft", "output", "text"),
            (ALPACA, {"history": 5}, "sft", "history", "a list"),
            (ALPACA, {"history": ["ab"]}, "sft", r"history\[0\]", "a list of 2"),
            (ALPACA, {"history": [["a", 1]]}, "sft", r"history\[0\]\[1\]", "text, found 1"),
            (ALPACA, {"history": [["a", "b", "c"]]}, "sft", r"history\[0\]", "a list of 2"),
            (ALPACA, {"history": [["a", None]]}, "sft", r"history\[0\]\[1\]", "text, found None"),
            (ALPACA, {"system": 5}, "sft", "system", "text, found 5"),
            (ALPACA, {"system": ["a"]}, "sft", "system", "text"),
            (ALPACA, {"tools": 5}, "sft", "tools", "a mapping or a list"),
            (ALPACA, {"tools": [5]}, "sft", r"tools\[0\]", "a mapping or text, found 5"),
            (ALPACA, {"images": 5}, "sft", "images", "a path or bytes"),
            (ALPACA, {"images": [[1]]}, "sft", r"images\[0\]", "a path or bytes"),
            (CHAT, {"messages": 5}, "sft", "messages", "a message"),
            (CHAT, {"messages": [ASK, 5]}, "sft", r"messages\[1\]", "a message with role and content, found 5"),
            (CHAT, {"messages": [ASK, {**SAY, "role": 5}]}, "sft", r"messages\[1\]\.role", "text, found 5"),
            (CHAT, {"messages": [ASK, {**SAY, "tool_calls": 5}]}, "sft", r"messages\[1\]\.tool_calls", "a mapping"),
            (CHAT, {"messages": [ASK, {**SAY, "tool_calls": [5]}]}, "sft", r"messages\[1\]\.tool_calls\[0\]", "a"),
            (CHAT, {"messages": [ASK, {**SAY, "reasoning": 5}]}, "sft", r"messages\[1\]\.reasoning", "text"),
            (CHAT, {"messages": [ASK, {**SAY, "weight": [1]}]}, "sft", r"messages\[1\]\.weight", "a finite number"),
            (CHAT, {"system": 5}, "sft", "system", "text"),
            (CHAT, {"tools": 5}, "sft", "tools", "a mapping"),
            (SHARE, {"conversations": 5}, "sft", "conversations", "a list of a mapping"),
            (SHARE, {"conversations": [5]}, "sft", r"conversations\[0\]", "a mapping, found 5"),
            (SHARE, {"system": {"a": 1}}, "sft", "system", "text"),
            (PAIR, {"chosen": 5}, "dpo", "chosen", "a message"),
            (PAIR, {"rejected": [[]]}, "dpo", r"rejected\[0\]", "a message"),
            (PAIR, {"prompt": 5}, "dpo", "prompt", "a message"),
            (LABELLED, {"completion": 5}, "kto", "completion", "a message"),
            (TEXT, {"text": 5}, "pretrain", "text", "text, found 5"),
            (TEXT, {"text": None}, "pretrain", "text", "text, found None"),
        )
    ),
    *(
        ("a.jsonl", second(good, **changed), stage, rf"a\.jsonl: line 2: .*{said}")
        for good, changed, stage, said in (
            (CHAT, {"messages": []}, "sft", "must be a list of messages"),
            (CHAT, {"messages": None}, "sft", "needs `messages`|must be a list"),
            (CHAT, {"messages": [{"role": "robot", "content": "a"}]}, "sft", "message 0: unknown role 'robot'"),
            (CHAT, {"messages": [{"role": "user"}]}, "sft", "message 0: a message of user has no content"),
            (CHAT, {"messages": [{"role": "user", "content": 5}]}, "sft", "`content` of user must be text"),
            (CHAT, {"messages": [{"role": "user", "content": {"a": 1}}]}, "sft", "`content` of user must be text"),
            (CHAT, {"messages": [{"role": "user", "content": [5]}]}, "sft", "a part of a content needs a type"),
            (CHAT, {"messages": "[{"}, "sft", "messages is not JSON"),
            (CHAT, {"tools": '[{"a": NaN}]'}, "sft", "tools is not JSON .NaN is not JSON"),
            (CHAT, {"tools": "[" * 100_000}, "sft", "tools is not JSON .it is nested too deep"),
            (CHAT, {"tools": '["\\ud800"]'}, "sft", "half of a surrogate pair"),
            (CHAT, {"tools": "5"}, "sft", "tools must be a list of mappings"),
            (CHAT, {"messages": [ASK, {**SAY, "weight": "much"}]}, "sft", "message 1: the weight of a message"),
            (SHARE, {"conversations": [{"from": "gpt"}]}, "sft", "turn 0: needs `from` and `"),
        )
    ),
    ("a.jsonl", second(LABELLED, label=None), "kto", r"a\.jsonl, line 2: stage\.kto needs rows with"),
    ("a.jsonl", second({**CHAT, "label": True}, label="maybe"), "kto", r"line 2: stage\.kto needs rows with `label`"),
    ("a.jsonl", lines(*[{"input": "Who?", "preferred_output": [SAY], "non_preferred_output": [SAY]}] * 2), "dpo", r"a\.jsonl: line 1: `input` must be a mapping"),  # noqa: E501
    ("a.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', "pretrain", r"line 2: half of a surrogate pair.*`text`"),
    ("a.jsonl", '{"text": "a"}\n{"text": ' + "[" * 100_000, "pretrain", r"a\.jsonl, line 2: it is nested too deep"),
    ("a.jsonl", '{"text": "a"}\n{"text": ' + "9" * 5000 + "}", "pretrain", r"line 2: a number has too many digits"),
    ("a.jsonl", '{"text": "a"}\n{"text": NaN}\n', "pretrain", r"a\.jsonl, line 2: NaN is not JSON"),
    ("a.jsonl", '{"text": "a"}\n{"text": "b', "pretrain", r"line 2: a text .* has no end .column 10.; the line"),
    ("a.jsonl", '{"text": "a"}\n["b"]\n', "pretrain", r"a\.jsonl, line 2: a record must be a mapping"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "\xe4"}\n', "pretrain", r"a\.jsonl, line 2, byte 11 of it .0xe4"),
    ("a.json", '[{"text": "a"},\n{"text": "b"}', "pretrain", r"a\.json, line 2 .record 2.: the list has no end"),
    ("a.json", '[{"text": "a"}\n{"text": "b"}]', "pretrain", r"a\.json, line 2 .record 1.: the list goes on without"),
    ("a.json", "", "pretrain", r"a\.json has no records"),
    ("a.json", "[]", "pretrain", r"a\.json has no records"),
    ("a.json", "null", "pretrain", r"a\.json, line 1: a record must be a mapping"),
    ("a.json", gzip.compress(b"[]", mtime=0), "pretrain", r"a\.json is no text but gzip"),
    ("a.json.gz", b"[]", "pretrain", r"a\.json\.gz cannot be read: Not a gzipped file"),
    ("a.json.gz", gzip.compress(b'[{"text": "a"}]', mtime=0)[:-9], "pretrain", r"a\.json\.gz cannot be read"),
    ("a.zip", b"PK", "pretrain", r"a\.zip cannot be unpacked: File is not a zip file"),
    ("a.tgz", gzip.compress(b"a" * 600, mtime=0), "pretrain", r"a\.tgz cannot be unpacked"),
    ("a.parquet", b"PAR1", "pretrain", r"a\.parquet cannot be read"),
    ("a.csv", "text,text\na,b\n", "pretrain", r"a\.csv has 2 columns with the name 'text'"),
    ("a.csv", "text\na,b\n", "pretrain", r"a\.csv, line 2: more values than the 1 columns"),
    ("a.xls", b"\x00", "pretrain", r"a\.xls|cannot read \.xls"),
    ("a.jsonl", lines({"text": 5}), "pretrain", r"has the columns of text, but line 1: `text` must be text, found 5"),
    ("a.jsonl", lines({"messages": "Who?"}), "sft", r"has the columns of openai, but line 1: messages is not JSON"),
    ("a.jsonl", "{}", "sft", r"is of no known format; found: nothing"),
    ("a.jsonl", lines({"question": "Who?"}), "sft", r"is of no known format; found: question"),
    ("a.jsonl", lines(*[{**ALPACA, "output": ""}] * 2), "sft", r"nothing to train on: 2 of 2 have no answer"),
    ("a.jsonl", lines(*[{"prompt": "Who?"}] * 2), "sft", r"nothing to train on: 2 of 2 have no answer"),
]  # fmt: skip

# (records of JSON Lines, stage, examples, what is said) of files that are trained on
SAID: list[tuple[str, str, int, str]] = [
    (lines(*[ALPACA] * 40, {**ALPACA, "output": ""}), "sft", 40, "1 of 41 have no answer and are left out"),
    (lines(ALPACA, {**ALPACA, "output": None}), "sft", 1, "1 of 2 have no answer and are left out"),
    (lines(ALPACA, {**ALPACA, "instruction": None}), "sft", 2, "1 of 2 have an empty question"),
    (lines(ALPACA, {**ALPACA, "output": " \n"}), "sft", 1, "1 of 2 have an empty answer and are left out"),
    (lines(CHAT, {"messages": [ASK, {**SAY, "content": None}]}), "sft", 1, "1 of 2 have an empty answer"),
    (lines(CHAT, {"messages": [ASK, {**SAY, "content": []}]}), "sft", 1, "1 of 2 have an empty answer"),
    (lines(CHAT, {"messages": [ASK]}), "sft", 1, "1 of 2 have no token to learn and are left out"),
    (lines(CHAT, {"messages": [ASK, {**SAY, "weight": 0}]}), "sft", 1, "1 of 2 have no token to learn"),
    (lines(CHAT, {"messages": [ASK, {**SAY, "content": "a " * 9000}]}), "sft", 2, "1 of 2 are over 2048 tokens"),
    (lines(CHAT, {"messages": [{**ASK, "content": "<|im_end|>"}, SAY]}), "sft", 2, "1 of 2 spell control tokens"),
    (lines(PAIR, {**PAIR, "rejected": PAIR["chosen"]}), "dpo", 2, "1 of 2 have the same chosen and rejected answer"),
    (lines(PAIR, {**PAIR, "chosen": ""}), "dpo", 1, "1 of 2 have an empty answer and are left out"),
    (lines(PAIR, {**PAIR, "chosen": None}), "dpo", 1, "1 of 2 have no answer and are left out"),
    (lines({**TUNED, "chosen": None}, TUNED), "dpo", 1, "1 of 2 have no answer and are left out"),
    (lines(TUNED, {**TUNED, "rejected": None}), "dpo", 1, "1 of 2 have no answer and are left out"),
    (lines(PAIR, {**PAIR, "rejected": ""}), "dpo", 2, "1 of 2 have an empty rejected answer"),
    (lines(*[LABELLED] * 3), "kto", 3, "3 of 3 are marked desirable and none undesirable"),
    (lines(*[{**LABELLED, "label": False}] * 3), "kto", 3, "3 of 3 are marked undesirable and none desirable"),
    (lines(TEXT, {"text": ""}), "pretrain", 1, "1 of 2 are empty and left out"),
    ('{"text": "a", "text": "b"}\n{"text": "c"}\n', "pretrain", 2, "1 of 2 give a key twice.*`text` in line 1"),
    (lines(CHAT, {**CHAT, "tools": '[{"name": "a", "name": "b"}]'}), "sft", 2, "1 of 2 give a key twice.*of tools"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_name_file_and_place(tmp_path: Path, tiny_bpe: Any, number: int) -> None:
    name, content, stage, said = ERRORS[number]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    error = outcome_of(tmp_path / name, stage, tiny_bpe).error
    assert re.search(said, error), error or "no error"


@pytest.mark.parametrize("number", range(len(SAID)))
def test_what_is_lost_is_said(tmp_path: Path, tiny_bpe: Any, number: int) -> None:
    content, stage, examples, said = SAID[number]
    (tmp_path / "a.jsonl").write_text(content)
    outcome = outcome_of(tmp_path / "a.jsonl", stage, tiny_bpe)
    assert not outcome.error and outcome.examples == examples
    assert any(re.search(said, warning) for warning in outcome.warnings), outcome.warnings


def test_good_files_say_nothing(tmp_path: Path, tiny_bpe: Any) -> None:
    for content, stage in ((CHAT, "sft"), (ALPACA, "sft"), (SHARE, "sft"), (PAIR, "dpo"), (TEXT, "pretrain")):
        (tmp_path / "a.jsonl").write_text(lines(content, content))
        outcome = outcome_of(tmp_path / "a.jsonl", stage, tiny_bpe)
        assert (outcome.error, outcome.examples, outcome.warnings) == ("", 2, ()), content


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_generated_files(tmp_path: Path, tiny_bpe: Any, seed: int) -> None:
    """A hundred files: no other exception, no hang, and as many examples as records, less those that are said lost."""
    for number in range(seed * 100, seed * 100 + 100):
        file = generate(number)
        path = tmp_path / file.name
        path.write_bytes(file.content)
        start = time.monotonic()
        outcome = outcome_of(path, file.stage, tiny_bpe)
        assert time.monotonic() - start < 20, number
        if outcome.error:
            assert file.name in outcome.error, (number, outcome.error)
            assert re.search(PLACES, outcome.error), (number, outcome.error)
        elif file.records is not None:
            said = [re.search(r"([\d,]+) of ([\d,]+) .*left out", warning) for warning in outcome.warnings]
            lost = sum(int(match[1]) for match in said if match)
            assert outcome.examples + lost == file.records, (number, outcome.warnings)
