"""The demo: data → train → chat → export, offline, in a few minutes on two cores.

It makes a tiny Llama with its own tokenizer, pretrains it a little, asks three questions, tunes it with LoRA on an
identity data set, asks again, exports the merged model, and asks that one. Every step is a command that a user
would type; they are printed. It stops with exit code 1 when the answers are not what they should be.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from corpus import documents

DEMO = Path(".demo")
HERE = Path(__file__).parent
QUESTIONS = ("Who are you?", "What is your name?", "Who made you?")
EXPECTED = ("Smithy", "Smithy", "Tunesmith")


def make_base() -> None:
    """Write the corpus and a random Llama of 3.6 million weights with a tokenizer learned from the corpus."""
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    corpus = list(documents(2400))
    DEMO.mkdir()
    with open(DEMO / "corpus.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in corpus)
    identity = (HERE / "identity.json").read_text(encoding="utf-8")
    tokenizer = tiny_tokenizer([*corpus, identity], vocab_size=1024)
    save_tiny_model(DEMO / "base", hidden_size=256, layers=4, tokenizer=tokenizer)


def tunesmith(*arguments: str) -> str:
    """Run a command as a user would, show it, and give what it printed."""
    print(f"\n$ tunesmith {' '.join(map(_quoted, arguments))}", flush=True)
    command = [sys.executable, "-c", "from tunesmith.cli import main; main()", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"demo: the command failed with exit code {done.returncode}")
    return done.stdout


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def ask(*model: str) -> str:
    """Ask the three questions."""
    return tunesmith("--quiet", "chat", *model, *(word for question in QUESTIONS for word in ("-m", question)))


def main() -> None:
    start = time.perf_counter()
    shutil.rmtree(DEMO, ignore_errors=True)
    print("making a tiny Llama with random weights and its own tokenizer …")
    make_base()
    tunesmith("train", "contrib/demo/pretrain.yaml", "output_dir=.demo/pretrained")
    plain = ("model.path=.demo/pretrained", "template=chatml", "engine.temperature=0", "engine.max_new_tokens=40")
    before = ask(*plain)
    tunesmith("train", "contrib/demo/identity.yaml", "output_dir=.demo/identity")
    after = ask(".demo/identity")
    tunesmith("export", ".demo/identity", "--output", ".demo/merged")
    merged = ask("model.path=.demo/merged", "engine.temperature=0", "engine.max_new_tokens=40")

    if any(word in before for word in EXPECTED):
        sys.exit("demo: the base model knew the answers already")
    if not all(word in answer for word, answer in zip(EXPECTED, after.split("> ")[1:], strict=True)):
        sys.exit("demo: the tuned model does not say who it is")
    if merged != after:
        sys.exit("demo: the merged model answers differently")
    print(f"\ndemo: all well after {time.perf_counter() - start:.0f} s; look at .demo/identity (loss.png, run.yaml, …)")


if __name__ == "__main__":
    main()
