"""The first command of each plugin's README is one that plans: nothing is loaded, the options and names are right."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from docs_marks import ROOT, Block, commands
from docs_session import Session
from docs_stand_ins import StandIns

pytestmark = pytest.mark.slow

READMES = sorted([*ROOT.glob("plugins/*/*/README.md"), *ROOT.glob("contrib/*/README.md")])
# what is planned instead of what the command does
FOR = {"train": [], "chat": ["--for", "chat"], "predict": ["--for", "chat"], "api": ["--for", "chat"]}
FOR |= {"export": ["--for", "export"], "eval": ["--for", "eval"]}
HINDERED = {
    "contrib/model-unsloth": "pip install unsloth",
    "contrib/practice": "there is no folder .practice/model",  # which takes minutes to make; pages of tasks make it
    "plugins/dialect/llamafactory": "no such file",  # of another program's repository
    "plugins/dialect/trl": "no such file",
    "plugins/engine/llamacpp": "no such file",  # a model in GGUF
    "plugins/engine/sglang": "which is not installed",
    "plugins/engine/vllm": "which is not installed",
    "plugins/model/gguf": "no such file",
    "plugins/quantizer/eetq": "needs the package kernels",
}
"""READMEs whose command cannot be planned here, and what the plan says of that."""


WRITTEN = {
    "qa.json": '[{"instruction": "a", "output": "b"}]',
    "talks.json": '[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]',
    "books.txt": "A text.",
    "my.py": "def score(prediction, answer, row):\n    return 1.0\n",
    "rewards.py": "def brevity(completions):\n    return [0.0 for _ in completions]\n",
    "schema.json": '{"type": "object"}',
    "form.schema.json": '{"type": "object"}',
}
"""Files that READMEs name as the reader's."""


def first_command(readme: Path) -> list[str]:
    """The words of the first command that a README tells to type; none where it has none."""
    text = readme.read_text(encoding="utf-8")
    code = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    code += [textwrap.dedent(block) for block in re.findall(r"(?<=\n\n)(?: {4}.*\n)+", text)]
    found = (
        command.words for part in code if "tunesmith " in part for command in commands(Block(readme, 1, "bash", part))
    )
    return next((words for words in found if words[0] == "tunesmith" and words[1] in FOR), [])


def planned(words: list[str]) -> str:
    """The command that plans what another one does, without the options that only that has."""
    source = [word for word in words[2:3] if "=" not in word and not word.startswith("-")]
    return shlex.join(["tunesmith", "plan", *source, *(word for word in words if "=" in word), *FOR[words[1]]])


def test_first_commands_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {readme.parent.relative_to(ROOT).as_posix(): first_command(readme) for readme in READMES}
    planned_ones = {name: words for name, words in commands.items() if words}
    assert len(planned_ones) > 100
    page = tmp_path / "readmes.md"
    page.write_text("".join(f"```bash\n{planned(words)}\n```\n" for words in planned_ones.values()))
    folder, stand_ins = tmp_path / "session", StandIns(tmp_path / "stand_ins")
    for place in ("path/to/model", "models/tiny"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).symlink_to(stand_ins.architecture("llama"))
    for name, text in WRITTEN.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("JUDGE_API_KEY", "none")
    session = Session(page, folder, stand_ins)
    wrong = dict(zip(planned_ones, session.failures(), strict=True))
    said = {name: message for name, message in wrong.items() if message}
    unexpected = {name: message for name, message in said.items() if HINDERED.get(name, "\0") not in message}
    assert not unexpected, "\n\n".join(f"{name}: {message[-600:]}" for name, message in unexpected.items())
    assert {*HINDERED} == {*said}, "some commands plan by now"
