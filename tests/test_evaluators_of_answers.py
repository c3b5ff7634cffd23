"""Evaluators that read answers, from a configuration to their numbers, with a tiny model that is asked once."""

from __future__ import annotations

import json
from pathlib import Path

import tunesmith

CALL = {"name": "tide", "arguments": {"day": 1}}
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}
ROWS = [
    {"messages": [{"role": "user", "content": "Who sings?"}, {"role": "assistant", "content": "Whales sing."}]},
    {"messages": [{"role": "user", "content": "谁在唱歌？"}, {"role": "assistant", "content": "鲸鱼在唱歌。"}]},
    {
        "messages": [
            {"role": "user", "content": "When?"},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]},
        ],
        "tools": [TOOL],
    },
]


def test_all_of_them_measure_a_model(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "my.py").write_text("def score(prediction):\n    return len(prediction)\n", encoding="utf-8")
    short = {"max_new_tokens": 4}
    evaluators = {
        "text_metrics": {**short, "limit": 2},
        "classification": {"through": "likelihood", "labels": ["Whales sing.", "鲸鱼在唱歌。"]},
        "tool_calls": short,
        "json_schema": {**short, "schema": {"type": "object"}},
        "function": {**short, "function": f"{tmp_path}/my.py:score"},
        "pass_at_k": {**short, "rewards": ["exact_match"], "n": 2, "k": [2], "limit": 2},
    }
    asked = {
        "model.path": str(tiny_llama),
        "template": "chatml",
        "precision": "fp32",
        "data": {"eval": [str(tmp_path / "test.json")], "cache": False},
        "evaluator": evaluators,
        "reward": {"exact_match": {"ignore_case": False}},
    }
    found = {each.name: each for each in tunesmith.evaluate(None, asked)}
    assert list(found) == list(evaluators)
    values = {name: next(iter(each.metrics.values())) for name, each in found.items()}
    counts = {
        ("text_metrics", "bleu"): 2,
        ("classification", "accuracy"): 2,
        ("tool_calls", "accuracy"): 1,
        ("json_schema", "valid"): 3,
        ("function", "score"): 3,
        ("pass_at_k", "pass_at_2"): 2,
    }
    assert {key: values[key[0]][key[1]].count for key in counts} == counts
    records = {name: [record["index"] for record in each.records] for name, each in found.items()}
    assert records["classification"] == [0, 1] and records["tool_calls"] == [2]
