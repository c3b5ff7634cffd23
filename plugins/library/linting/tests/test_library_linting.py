"""The checks over rows at hand, and MinHash against the similarity that it estimates."""

from __future__ import annotations

import random
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tunesmith import DataError
from tunesmith_library_linting import Finding, Item, Leaks, Linter, TooLong, mended
from tunesmith_library_linting.answers import cut
from tunesmith_library_linting.languages import language_of
from tunesmith_library_linting.privacy import PERSONAL, SECRETS, masked, spans
from tunesmith_library_linting.similarity import Held, MinHash, pairs, runs_of, words_of


def items(*rows: dict[str, Any], data: str = "a", file: Path | None = None) -> list[Item]:
    return [Item(data, number, f"line {number}", file, row, row) for number, row in enumerate(rows, start=1)]


def found(*rows: dict[str, Any], **options: Any) -> list[tuple[int | None, str, str]]:
    linter = Linter(**options)
    linter.look(items(*rows))
    linter.finish()
    return [(one.row, one.check, one.severity) for one in linter.findings]


def chat(*texts: str, **beside: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], **beside}


def with_call(arguments: dict[str, Any], parameters: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "add", "arguments": arguments}}
    tool = {"type": "function", "function": {"name": "add", "parameters": parameters}}
    asked = {"role": "user", "content": "Add."}
    return {"messages": [asked, {"role": "assistant", "content": "", "tool_calls": [call]}], "tools": [tool]}


@pytest.mark.parametrize("changes", [0, 3, 30, 100])
def test_minhash_estimates_the_jaccard_similarity(changes: int) -> None:
    numbers = random.Random(changes)
    words = [f"w{numbers.randrange(10**9)}" for _ in range(400)]
    other = list(words)
    for index in numbers.sample(range(400), changes):
        other[index] = f"w{numbers.randrange(10**9)}"
    shingles = [{tuple(text[i : i + 3]) for i in range(398)} for text in (words, other)]
    exact = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
    hashed = MinHash()
    signatures = [hashed.signature(" ".join(text)) for text in (words, other)]
    assert signatures[0] is not None and signatures[1] is not None
    estimate = float((signatures[0] == signatures[1]).mean())
    assert abs(estimate - exact) < 4 * (max(exact * (1 - exact), 1e-9) / 128) ** 0.5 + 1e-6
    alike = pairs(np.stack([signatures[0], signatures[1]]), 0.85)
    assert (1 in alike) == (changes < 10)


def test_runs_differ_by_order_and_are_found_in_longer_texts() -> None:
    assert len(set(runs_of(words_of("a b c a b c"), 3).tolist())) == 3
    assert len(runs_of(words_of("a b"), 3)) == 0
    held = Held(run=3, fewest=4)
    assert held.add("too few words") is None
    assert held.add("one two three four five six") == 0
    assert dict(held.within("zero one two three four and then five six")) == {0: 0.5}
    assert dict(held.within("nothing of the kind is here")) == {}


def test_arguments_are_held_against_schemas_also_in_the_types_of_python() -> None:
    whole = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    python = {"type": "dict", "properties": {"n": {"type": "int"}}, "required": ["n"]}
    assert found(with_call({"n": 1}, whole)) == []
    assert found(with_call({"n": "1"}, whole)) == [(1, "tool_call", "error")]
    assert found(with_call({"n": 1}, python)) == [(1, "tool_call", "warning")]
    assert sorted(found(with_call({}, python))) == [(1, "tool_call", "error"), (1, "tool_call", "warning")]
    assert found(with_call({}, {"$ref": "https://nowhere.invalid/a.json"})) == [(1, "tool_call", "warning")]
    assert found(with_call({"n": 1}, {"$ref": "#/definitions/gone"})) == [(1, "tool_call", "error")]
    assert found(with_call({"n": 1}, None)) == []


def test_media_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    png = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "cut.png").write_bytes(png[:44])
    (tmp_path / "text.png").write_text("no image")
    linter = Linter()
    row = chat("<image>What is it?", "A cat.")
    linter.look(items(row | {"images": ["a.png"]}, row | {"images": ["b.png"]}, row, file=tmp_path / "x.json"))
    linter.look(items(*(row | {"images": [name]} for name in ("cut.png", "text.png", "https://a.example/b.png")),
                      row | {"videos": ["a.png"]}, data="broken", file=tmp_path / "x.json"))  # fmt: skip
    linter.look(items(chat("Write HTML.", "<video>a.mp4</video>"), data="html"))
    beside = f"image {tmp_path}/"
    said = [(one.row, one.message.removeprefix(beside)[:46]) for one in linter.findings if one.check == "media"]
    assert said == [
        (2, "image b.png: there is no such file"),
        (3, "the row has 1 × <image> for 0 images in `image"),
        (1, "cut.png: it is broken: image file is truncated"),
        (2, "text.png: it is no image, or broken (PNG, JPEG"),
        (4, "the row has 1 × <image> for 0 images in `image"),
        (4, f"video {tmp_path}/a.png: it is no video"[:46]),
    ]
    other = Linter()
    elsewhere = items(row | {"images": ["a.png"]}, file=Path("y.json"))
    other.look([replace(item, media_dir=tmp_path) for item in elsewhere])
    assert not other.findings


@pytest.mark.parametrize(
    ("answer", "is_cut"),
    [
        ("Paris", False),
        ("## A heading that is long enough to be a sentence but ends without any full stop at all, a", True),
        ("It is done, and everybody who was there went home again after the long and tiring day they had.", False),
        (
            "See https://example.org/a/very/long/address/that/is/no/sentence/and/has/no/full/stop/at/its/end",
            False,
        ),
        ("```python\nprint(1)\n```", False),
        ("Here it is:\n```python\nprint(1)", True),
        ('{"a": "}{[", "b": [1]}', False),
        ('{"a": [1, {"b": 2', True),
        ("First, second,", True),
        ("", False),
    ],
)
def test_answers_that_are_cut_off(answer: str, is_cut: bool) -> None:
    assert bool(cut(answer)) == is_cut


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The quick answer to this is that you can not be in two places.", "en"),
        ("Das ist nicht die Antwort, die ich von dir auf diese Frage wollte.", "de"),
        ("C'est une réponse que les gens ne veulent pas dans cette ville.", "fr"),
        ("これは日本語で書かれた文章であり、漢字も使われています。", "ja"),
        ("这是用中文写的一段文字，里面没有任何其他语言的内容。", "zh"),
        ("Это предложение написано по-русски.", "Cyrillic"),
        ("def f(x): return x ** 2 + y", None),
        ("42", None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("AKIAQ3EGRZTWB7YXLMN4", "an AWS key"),
        ("AKIAIOSFODNN7EXAMPLE", None),  # that of Amazon's documentation
        ('api_key = "q8Zr2Lk0vT5nXw1C"', "a password or key"),
        ("api_key = os.environ['API_KEY_NAME']", None),
        ("postgres://bob:s3cr3tPa55w0rd@db.acme.io/x", "a password in an address"),
        ("4539 1488 0343 6467", "a card's number"),
        ("4539 1488 0343 6468", None),  # wrong checksum
        ("DE89 3704 0044 0532 0130 00", "an account's number"),
        ("DE88 3704 0044 0532 0130 00", None),
        ("erika.mustermann@posteo.de", "an e-mail address"),
        ("someone@example.com", None),
        ("call +49 30 901820 now", "a phone number"),
        ("472547338 + 960397912423686", None),
        ("from 2011-2012, 1,234,567.89", None),
    ],
)
def test_secrets_and_personal_data(text: str, what: str | None) -> None:
    patterns = (*SECRETS, *PERSONAL)
    assert [name for name, _, _ in spans(text, patterns)] == ([what] if what else [])
    kept = masked({"a": [f"<{text}>"]}, patterns)
    assert (kept == {"a": [f"<{text}>"]}) == (what is None)


def test_a_leak_is_told_by_the_whole_or_the_question() -> None:
    whole = "one two three four five six seven eight nine ten eleven twelve"
    leaks = Leaks(["held"])
    leaks.measured_on(items(chat("how many are there in all of them", whole), data="held"))
    linter = Linter(leaks, only=["leak"])
    asked = chat("Say: how many are there in all of them", "Twelve of them.")
    linter.look(items(chat("how many are there in all of them", whole), asked, chat("how many", "none"), data="train"))
    linter.look(items(chat("how many are there in all of them", whole), data="held"))
    assert [(one.row, one.severity) for one in linter.findings] == [(1, "error"), (2, "warning")]


def test_labels_and_lengths() -> None:
    def labelled(label: bool) -> dict[str, Any]:
        asked, answer = {"role": "user", "content": "So?"}, {"role": "assistant", "content": str(random.random())}
        return {"prompt": [asked], "completion": [answer], "label": label}

    assert found(*(labelled(number < 4) for number in range(5))) == []
    assert found(*(labelled(number < 5) for number in range(6))) == [(None, "labels", "warning")]
    assert found(labelled(True), labelled(True)) == [(None, "labels", "error")]
    lengths = TooLong(most=5)
    assert found({"text": "12345"}, {"text": "123456"}, lengths=lengths) == [(2, "too_long", "warning")]
    about = lengths.lengths("a").to_json()
    assert (about["total"], about["max"], about["longest"]) == (11, 6, "line 2")
    assert about["histogram"] == [{"up_to": 8, "rows": 2}]


def test_an_unanswered_row_is_wrong_among_answered_ones_alone() -> None:
    prompt = {"prompt": [{"role": "user", "content": "Who?"}]}
    assert found(prompt) == []
    assert found(chat("Who?", "Me."), prompt) == [(2, "empty", "error")]


def test_mending_leaves_out_errors_and_copies_and_masks_secrets() -> None:
    rows = [
        chat("Who?", "Me."),
        chat("Who?", " me."),
        chat("What?", ""),
        chat("Key?", "AKIAQ3EGRZTWB7YXLMN4"),
        chat("And?", "First, second,"),
    ]
    linter = Linter()
    linter.look(items(*rows))
    linter.finish()
    written: list[Any] = []
    done, take = mended(linter, lambda _, record: written.append(record))
    take(items(*rows))
    assert written == [rows[0], chat("Key?", "[AWS key]"), rows[4]]
    assert (done.kept, dict(done.left_out), dict(done.masked), dict(done.as_they_are)) == (
        3,
        {"duplicate": 1, "empty": 1},
        {"secret": 1},
        {"cut_off": 1},
    )


def test_rows_about_other_boxes_of_an_image_are_others() -> None:
    row = {**chat("<image>Where is <ref-object>?", "<bbox>"), "images": ["a.png"]}
    dog, cat = ({"ref": [name], "bbox": [[1, 2, 3, number]]} for number, name in enumerate(("dog", "cat"), 10))
    rows = [{**row, "objects": dog}, {**row, "objects": cat}, {**row, "objects": dog}]
    assert found(*rows, only=["duplicate"]) == [(3, "duplicate", "warning")]


def test_checks_are_chosen_by_name() -> None:
    rows = [chat("Who?", ""), chat("Key?", "AKIAQ3EGRZTWB7YXLMN4")]
    assert found(*rows, only=["secret"]) == [(2, "secret", "error")]
    assert found(*rows, ignore=["secret"]) == [(1, "empty", "error")]
    with pytest.raises(DataError, match="did you mean secret"):
        Linter(only=["secrt"])


def test_the_report_counts_rows_and_findings() -> None:
    linter = Linter()
    linter.look(items(chat("Who?", ""), {"text": "AKIAQ3EGRZTWB7YXLMN4, a@posteo.de, b@posteo.de"}))
    linter.failed("b", "line 3: no JSON")
    linter.finish()
    summaries: Sequence[Any] = linter.summaries()
    assert {(one.check, one.severity, one.findings, one.rows) for one in summaries} == {
        ("empty", "error", 1, 1),
        ("format", "error", 1, 0),
        ("secret", "error", 1, 1),
        ("personal", "warning", 1, 1),
    }
    assert linter.errors == 3 and linter.to_json()["sets"]["a"]["rows"] == 2
    assert isinstance(linter.findings[0], Finding)


def test_a_registry_says_where_the_media_of_its_sets_are(tmp_path: Path) -> None:
    from tunesmith_library_linting.sets import _media_dir

    registry = tmp_path / "conf" / "sets.yaml"
    registry.parent.mkdir()
    registry.write_text("mine: {path: ../a.jsonl, media_dir: ../pictures}\nplain: b.jsonl\n", encoding="utf-8")
    assert _media_dir({"path": "mine"}, str(registry)) == registry.parent / "../pictures"
    assert _media_dir({"path": "mine", "media_dir": "own"}, str(registry)) == Path("own")
    assert [_media_dir({"path": name}, str(registry)) for name in ("plain", "other")] == [None, None]
