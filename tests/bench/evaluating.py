"""What multiple choice costs: 1,000 questions of MMLU's shape, of ten subjects with five examples each, one by one in a
plain loop over transformers, and by `evaluator.multiple_choice` through the engine, which computes the examples of a
subject once.

Processor time of one thread, which other programs on the machine change little. The loops answer a part of the
questions, spread over the subjects; what they choose is compared.
"""

import csv
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inputs import instructions, tokenizer_folder
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from tunesmith_engine_transformers import Transformers
from tunesmith_evaluator_multiple_choice import MultipleChoice
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing.parts import handle_of

SUBJECTS, EACH, SHOTS = 10, 100, 5
SHAPE = {"hidden_size": 512, "intermediate_size": 1_408, "num_hidden_layers": 8}
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4}
BY_QUESTION, BY_CHOICE = 25, 5  # questions that the loops answer


def questions(folder: Path) -> None:
    """Write a set in MMLU's form: 20 to 80 words and four choices of 2 to 16, which is as long as MMLU's are."""
    rng = random.Random(0)
    words = " ".join(row["output"] for row in instructions(2000)).split()

    def said(least: int, most: int) -> str:
        start = rng.randrange(len(words) - most)
        return " ".join(words[start : start + rng.randint(least, most)])

    for subject in range(SUBJECTS):
        for part, count in (("test", EACH), ("dev", SHOTS)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            with (folder / part / f"subject{subject}_{part}.csv").open("w", newline="", encoding="utf-8") as file:
                for _ in range(count):
                    choices = [said(2, 16) for _ in range(4)]
                    csv.writer(file).writerow([said(20, 80), *choices, rng.choice("ABCD")])


def timed(answers: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and what was answered."""
    start = time.process_time()
    answered = answers()
    return time.process_time() - start, answered


def one_by_one(model: Any, prompts: list[list[int]], letters: list[list[int]], by_choice: bool) -> list[int]:
    """The letters that a plain loop chooses: a forward pass for each choice, or for each question."""
    chosen = []
    with torch.no_grad():
        for prompt in prompts:
            if by_choice:
                values = []
                for letter in letters:
                    logits = model(input_ids=torch.tensor([prompt + letter]), use_cache=False).logits[0, :-1]
                    told = logits[-len(letter) :].log_softmax(-1)
                    values.append(sum(told[place, token].item() for place, token in enumerate(letter)))
            else:
                last = model(input_ids=torch.tensor([prompt]), use_cache=False, logits_to_keep=1).logits[0, -1]
                values = [last[letter[0]].item() for letter in letters]
            chosen.append(values.index(max(values)))
    return chosen


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder, called = tokenizer_folder("llama2", Path(scratch) / "tokenizer")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        questions(Path(scratch) / "set")
        config = LlamaConfig(**SHAPE, **HEADS, vocab_size=len(tokenizer))
        model: Any = LlamaForCausalLM(config).eval()
        handle = handle_of(folder, tokenizer, load=lambda: model)
        evaluator = MultipleChoice(path=str(Path(scratch) / "set"), few_shot=SHOTS, chat=False)
        asked: list[list[list[int]]] = []
        with Chat(handle, Transformers().open_engine) as chat:
            score = chat.engine.score
            chat.engine.score = lambda sequences, **more: asked.append(sequences) or score(sequences, **more)  # type: ignore
            seconds, found = timed(
                lambda: evaluator.evaluate(handle=handle, chat=chat, data=EvaluationData(rows=dict, examples=dict))
            )
    flat = [sequence for sequences in asked for sequence in sequences]
    ends = [len(flat[place]) - _common(flat[place : place + 4]) for place in range(0, len(flat), 4)]
    prompts = [flat[4 * place][: -ends[place]] for place in range(len(ends))]
    letters = [flat[place][-ends[0] :] for place in range(4)]
    expected = ["ABCD".index(record["prediction"]) for record in found.records]
    mean = sum(map(len, prompts)) / len(prompts)
    total = len(found.records)
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    print(
        f"evaluating: {total:,} questions of {mean:,.0f} tokens with {SHOTS} examples, {size:.0f}M, {called}, 1 thread"
    )
    ours = total / seconds
    print(f"  evaluator.multiple_choice       {ours:7.2f} questions per second", flush=True)
    for name, by_choice, count in (("question", False, BY_QUESTION), ("choice", True, BY_CHOICE)):
        places = range(0, total, total // count)
        seconds, chosen = timed(lambda: one_by_one(model, [prompts[it] for it in places], letters, by_choice))  # noqa: B023
        if chosen != [expected[place] for place in places]:
            sys.exit(f"the loop over each {name} chooses other letters")
        rate = len(chosen) / seconds
        print(
            f"  a forward pass for each {name:9}{rate:7.2f} questions per second, ours {ours / rate:5.1f} x", flush=True
        )
    print()


def _common(sequences: list[list[int]]) -> int:
    """How many tokens sequences begin with alike."""
    pairs = enumerate(zip(*sequences, strict=False))
    return next((place for place, tokens in pairs if len(set(tokens)) > 1), len(sequences[0]))


if __name__ == "__main__":
    main()
