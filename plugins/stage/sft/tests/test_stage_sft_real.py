"""Real conversations and tokenizers: what is trained, what packing fills, padded against concatenated loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_stage_sft import SupervisedFineTuning

pytestmark = pytest.mark.real

HEADERS = {
    "llama3": ("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"),
    "qwen": ("<|im_start|>{}\n", "<|im_end|>"),
    "llama2": ("[{}] ", "</s>"),
    "mistral": ("[{}] ", "</s>"),
}


def template(name: str) -> ChatTemplate:
    header, end = HEADERS[name]
    before, after = header.split("{}")
    jinja = (
        f"{{% for m in messages %}}{before}{{{{ m.role }}}}{after}{{% if m.role == 'assistant' %}}"
        f"{{% generation %}}{{{{ m.content }}}}{end}{{% endgeneration %}}"
        f"{{% else %}}{{{{ m.content }}}}{end}{{% endif %}}{{% endfor %}}"
    )
    return ChatTemplate(name, jinja, (end,))


def conversations(shared: Path, count: int) -> list[dict[str, Any]]:
    """Real chats in English and Chinese, of one turn and of several."""
    rows = []
    for name in ("alpaca_en_demo.json", "alpaca_zh_demo.json"):
        for record in json.loads((shared / "data" / name).read_text())[:count]:
            question = f"{record['instruction']}\n{record['input']}".strip()
            turns = [("user", question), ("assistant", record["output"])]
            rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    for record in json.loads((shared / "data" / "glaive_toolcall_en_demo.json").read_text())[:count]:
        names = {"gpt": "assistant", "function_call": "assistant"}
        turns = [(names.get(turn["from"], "user"), turn["value"]) for turn in record["conversations"]]
        rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    return rows


def encode(
    shared: Path, name: str, count: int, **options: Any
) -> tuple[Any, list[dict[str, Any]], dict[str, list[Any]]]:
    from transformers import AutoTokenizer

    tokenizer, rows = AutoTokenizer.from_pretrained(shared / "tokenizers" / name), conversations(shared, count)
    stage = SupervisedFineTuning(max_length=4096, **options)
    return tokenizer, rows, stage.encode(rows=rows, processor=tokenizer, template=template(name))


@pytest.mark.parametrize("name", HEADERS)
def test_trained_tokens_decode_to_the_answers(real_files: Path, name: str) -> None:
    tokenizer, rows, columns = encode(real_files, name, 100)
    assert len(columns["labels"]) == len(rows)
    for row, labels in zip(rows, columns["labels"], strict=True):
        answers = [turn["content"] + HEADERS[name][1] for turn in row["messages"] if turn["role"] == "assistant"]
        found = tokenizer.decode([label for label in labels if label != -100])
        assert "".join(found.split()) == "".join("".join(answers).split())


def test_packing_fills_its_rows(real_files: Path) -> None:
    _, _, alone = encode(real_files, "llama3", 100)
    _, _, packed = encode(real_files, "llama3", 100, packing=True)
    tokens = sum(map(len, alone["input_ids"]))
    assert sum(map(len, packed["input_ids"])) == tokens
    assert len(packed["input_ids"]) == -(-tokens // 4096)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama3", "qwen"])
def test_padded_and_concatenated_losses_agree(real_files: Path, name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer, _, columns = encode(real_files, name, 1)
    folder = save_tiny_model(tmp_path / "model", tokenizer=tokenizer, hidden_size=32)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    stage = SupervisedFineTuning()
    with torch.no_grad():
        padded, concatenated = (
            stage.compute_loss(
                model=model, batch=stage.collate(examples=examples, padding_free=padding_free, processor=None)
            )
            for padding_free in (False, True)
        )
        with torch.autocast("cpu", torch.bfloat16):
            half = stage.compute_loss(
                model=model, batch=stage.collate(examples=examples, padding_free=True, processor=None)
            )
    assert padded.num_items == concatenated.num_items > 0
    torch.testing.assert_close(concatenated.loss, padded.loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(half.loss, padded.loss, rtol=2e-3, atol=0)
