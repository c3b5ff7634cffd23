"""Make the practice model: a corpus, a tokenizer learned from it, a small Qwen3 with random weights, its pretraining.

    python contrib/practice/make.py [FOLDER]

FOLDER, `.practice/model` when none is given, is the model in the end, as a hub would give it. The corpus, plain
texts of its kind, and what the model started from stand beside it, in `FOLDER-base`.
"""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpus import WORDS, rows, texts
from tunesmith.cli.output import Output

HERE = Path(__file__).parent
ROWS = 10000
# end of text, and the marks of turns
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# tokens of Qwen3's template that a model writes, and that are read as text
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


def make(folder: Path) -> Path:
    """Write the pretrained model into the folder, which is made anew."""
    import tunesmith

    base = folder.with_name(f"{folder.name}-base")
    for old in (folder, base):
        shutil.rmtree(old, ignore_errors=True)
    base.mkdir(parents=True)
    corpus = _write(base / "corpus.jsonl", rows(ROWS))
    _write(base / "texts.jsonl", texts(400))
    save_start(base / "start", tokenizer_of([*corpus, *WORDS, " ".join(WORDS)]))
    tunesmith.train(
        HERE / "pretrain.yaml",
        {
            "model.path": str(base / "start"),
            "data.train": [{"path": str(base / "corpus.jsonl")}],
            "output_dir": str(folder),
        },
    )
    return folder


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Write rows as JSON Lines, and give the lines."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return lines


def tokenizer_of(texts: list[str], vocab_size: int = 4096) -> Any:
    """Byte-level BPE that is learned from the texts; digits stand alone, as in Qwen3."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    # Qwen3's rule of what may be one token, but that Chinese characters stand alone too: few texts have no better units
    words = (
        r"\p{Han}|(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )


def _embed(weight: Any, ids: dict[str, int]) -> None:
    """Let a word and the same word behind a space start as neighbours: a large corpus teaches that, ours is small."""
    import torch

    weight.normal_(std=0.1)
    space = torch.randn(weight.shape[1]) * 0.1
    for token, place in ids.items():
        if token.startswith("Ġ") and token[1:] in ids:
            weight[place] = weight[ids[token[1:]]] + space


def save_start(folder: Path, tokenizer: Any) -> None:
    """Write a Qwen3 of random weights with the tokenizer."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config)
    _embed(model.get_input_embeddings().weight.data, tokenizer.get_vocab())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    Output().apply()  # libraries say no more than in `tunesmith train`
    made = make(Path(sys.argv[1] if len(sys.argv) > 1 else ".practice/model"))
    print(f'{made}\ntry it: tunesmith chat model.path={made} -m "What is the capital of Greece?"')
