"""Answer prompts, and keep what is done when it is cut short."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tunesmith import announce
from tunesmith.compose import Composition, compose
from tunesmith.errors import ConfigError, Interrupted
from tunesmith.messages import is_quiet
from tunesmith.pipeline import plan
from tunesmith.runs import is_run
from tunesmith.types import Conversation, Sampling
from tunesmith_library_configuration.locks import beside, locked, refuse_inside
from tunesmith_library_engine.sessions import ChatSession
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_media.options import options_of

from tunesmith_command_predict.prompts import prompts_of

_AT_A_TIME = 32  # prompts with media


def predict(
    config: str | None,
    overrides: Sequence[str] = (),
    *,
    output: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Answer the prompts of `data.eval`.

    What is done is kept in `OUTPUT.KEY.part`, KEY standing for the model, the data and the options: the same call goes
    on from there, another one starts anew. `OUTPUT` itself is never half written.

    Args:
        output: file to write; by default `predictions.jsonl` in output_dir, else in the run's folder, else in this one.

    Returns: the file, of one JSON object per prompt: `dataset`, `prompt`, `answer`, `prediction`.
    Raises: ConfigError when the file is there already, a process trains into its folder, or there is nothing to
        predict; Interrupted.
    """
    composition = compose(config, overrides)
    target = output or _folder(composition, config) / "predictions.jsonl"
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists already.\n--overwrite replaces it, --output chooses another")
    refuse_inside(target)
    session = ChatSession(config, overrides)  # refuses what cannot answer before the data is read
    prompts = prompts_of(composition)
    part = _part(target, config, overrides, prompts)
    seed = plan(config, overrides, command="chat")[0].run.seed
    with locked(beside(part), target, "answers"):
        refuse_inside(target)
        _answer(session, prompts, part, seed)
        os.replace(part, target)
    return target


def _folder(composition: Composition, config: str | None) -> Path:
    """Where the predictions go when no file is named. Raises: ConfigError for an output_dir that is no folder."""
    if asked := composition.tree.get("output_dir"):
        folder = Path(asked).expanduser()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"output_dir={asked} is no folder.\nchoose another: output_dir=FOLDER, or --output FILE")
        return folder
    return Path(config) if config and is_run(Path(config)) else Path()


def _answer(session: ChatSession, prompts: Sequence[Prompt], part: Path, seed: int) -> None:
    """Add to a file the answers that it lacks."""
    done = _completed_lines(part)
    if done:
        announce("predictions", f"{done} of {len(prompts)} are there", f"in {part}, from an interrupted call")
    try:
        with session, open(part, "a", encoding="utf-8") as file, _progress() as progress:
            task = progress.add_task("answering", total=len(prompts), completed=done)
            for line in _answered(session, prompts[done:], seed + done):
                file.write(line)
                file.flush()
                progress.advance(task)
    except KeyboardInterrupt as stop:
        raise Interrupted(f"the same command goes on from {part}") from stop


def _answered(session: ChatSession, prompts: Sequence[Prompt], seed: int) -> Iterator[str]:
    """The lines of prompts in their order: each when those before it are answered too.

    All are answered together; with media a part of them at a time, since what an engine is asked holds their pixels.
    """
    if not any(prompt.media for prompt in prompts):
        yield from _together(session, prompts, seed, ())
        return
    hosts = options_of(session.handle.processor).hosts
    for start in range(0, len(prompts), _AT_A_TIME):
        yield from _together(session, prompts[start : start + _AT_A_TIME], seed + start, hosts)


def _together(session: ChatSession, prompts: Sequence[Prompt], seed: int, hosts: Sequence[str]) -> Iterator[str]:
    predictions, ended, written = [""] * len(prompts), set(), 0
    conversations = [Conversation(prompt.shown(hosts), prompt.tools, prompt.variables) for prompt in prompts]
    for piece in session.answer(conversations, Sampling(seed=seed)):
        predictions[piece.index] += piece.text
        if piece.finish_reason:
            ended.add(piece.index)
        while written in ended:
            yield _line(prompts[written], predictions[written])
            written += 1


def _line(prompt: Prompt, prediction: str) -> str:
    shown = {"dataset": prompt.dataset, "prompt": prompt.messages, **prompt.places, "answer": prompt.answer}
    return json.dumps({**shown, "prediction": prediction}, ensure_ascii=False) + "\n"


def _part(target: Path, config: str | None, overrides: Sequence[str], prompts: Sequence[Prompt]) -> Path:
    """Where the answers of this very work are collected."""
    chosen = plan(config, overrides, command="chat")[0].config
    trained = Path(config).resolve() if config else ""
    stamps = [(path.name, path.stat().st_mtime_ns) for path in sorted(Path(trained).glob("*.safetensors"))]
    rows = [dataclasses.astuple(prompt) for prompt in prompts]
    work = json.dumps([str(trained), stamps, chosen, rows], sort_keys=True, default=str)
    return target.with_name(f"{target.name}.{hashlib.sha256(work.encode()).hexdigest()[:12]}.part")


def _completed_lines(part: Path) -> int:
    """How many whole lines a former call left; a line that it did not finish is cut off."""
    if not part.is_file():
        return 0
    content = part.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(part, len(whole))
    return whole.count(b"\n")


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=is_quiet() or not console.is_terminal)
