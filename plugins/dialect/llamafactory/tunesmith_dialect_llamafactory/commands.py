"""`llamafactory-cli` and `lmf`: what its users type, done by Tunesmith's commands.

The environment says as it does there how many processes train, and where servers listen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith_dialect_llamafactory.environment import gpus, without_meaning

USAGE = """llamafactory-cli COMMAND [FILE] [KEY=VALUE | --KEY VALUE]...   (as tunesmith reads LLaMA-Factory's files)

  train     tunesmith train; of a file with do_predict alone tunesmith predict
  chat      tunesmith chat
  export    tunesmith export
  eval      tunesmith eval
  api       tunesmith api
  webui     tunesmith webui; of webchat its model is chosen there, under Chat
  env       tunesmith env
  version   tunesmith version
  help      this
"""
_OURS = {"webchat": "webui"}
_NAMES = ("train", "chat", "export", "eval", "api", "webui", "webchat", "env", "version", "help")
_CONFIGURED = ("train", "chat", "export", "eval")
_OPTIONS = {
    "api": {
        **{"API_HOST": "--host", "API_PORT": "--port"},
        **{"API_MODEL_NAME": "--model-name", "FASTAPI_ROOT_PATH": "--root-path"},
    },
    "webui": {"GRADIO_SERVER_NAME": "--host", "GRADIO_SERVER_PORT": "--port"},
}
"""Variables that are options of a server's command."""


def main(words: Sequence[str] | None = None) -> None:
    """Run a command line of `llamafactory-cli`, by default that of this process, and end the process."""
    sys.exit(run(list(sys.argv[1:] if words is None else words)))


def run(words: list[str]) -> int:
    """Run a command line of `llamafactory-cli`.

    Returns: the exit code, as `tunesmith` has it.
    """
    name, *rest = words or ["help"]
    if name in ("help", "-h", "--help"):
        print(USAGE, end="")
        return 0
    if name not in _NAMES:
        from tunesmith.errors import choices

        print(f"error: llamafactory-cli has no command {name}.\n  {choices(name, _NAMES)}", file=sys.stderr)
        return 2
    from tunesmith.cli.running import run as run_ours

    for line in without_meaning() if name != "version" else ():
        print(f"note: {line}", file=sys.stderr)
    ours = _OURS.get(name, name)
    missing = _missing(name, ours)
    if missing:
        print(missing, file=sys.stderr)
        return 2
    if name == "webchat" and rest and not {"-h", "--help"} & set(rest):
        print(f"note: {_model_of_chat(rest)}", file=sys.stderr)
        rest = []
    return run_ours([*_verbosity(os.environ), *command_line(ours, rest, os.environ)])


def command_line(name: str, words: list[str], environment: Mapping[str, str]) -> list[str]:
    """The command line of ours, with what the environment says; that comes first, for the last word may be a flag."""
    if name not in _CONFIGURED:
        options = [(option, environment.get(variable)) for variable, option in _OPTIONS.get(name, {}).items()]
        return [name, *words, *(word for option, value in options if value for word in (option, value))]
    if name == "train" and not {"-h", "--help"} & set(words):
        written = _translated(words)
        if written.get("command") in ("predict", "eval"):
            return _measuring(written, words)
        return [name, *processes(environment, written.get("parallel")), *words]
    return [name, *(["--bare-words"] if name == "chat" else []), *words]


def _missing(name: str, ours: str) -> str:
    """What to say where the command that does it is not installed; "" where it is."""
    from tunesmith.catalog import Catalog, known_distributions
    from tunesmith.cli.group import BUILT_IN

    if ours in BUILT_IN or ours == "version" or ours in Catalog.discover().names("command"):
        return ""
    distribution = known_distributions().get(f"command.{ours}")
    advice = f"pip install {distribution}" if distribution else "tunesmith --help lists what there is"
    return f"error: llamafactory-cli {name} is tunesmith {ours}, which is not installed.\n  {advice}"


def _verbosity(environment: Mapping[str, str]) -> list[str]:
    level = environment.get("LLAMAFACTORY_VERBOSITY", "").upper()
    return ["--debug"] if level == "DEBUG" else ["--quiet"] if level in ("WARN", "WARNING", "ERROR") else []


def _translated(words: list[str]) -> Mapping[str, str | None]:
    """What a command line is for, and where its output goes."""
    made = _composed(words)
    if not made:
        return {}
    parallel = made["tree"].get("parallel") or {}
    named = parallel.get("name") if isinstance(parallel, Mapping) else parallel
    return {"command": made["command"], "output_dir": made["tree"].get("output_dir"), "parallel": named}


def _composed(words: list[str]) -> dict[str, Any]:
    """The command and the configuration of a command line; empty where it is wrong, which the command itself tells."""
    from tunesmith.cli.flags import with_overrides
    from tunesmith.compose import compose
    from tunesmith.errors import TunesmithError

    plain = with_overrides(words, ())
    files = [word for word in plain if "=" not in word]
    try:
        made = compose(files[0] if files else None, [word for word in plain if "=" in word])
    except TunesmithError:
        return {}
    return {"command": made.command, "tree": made.tree}


def _model_of_chat(words: list[str]) -> str:
    """What to choose on the page for the model that a command line of `webchat` names."""
    tree = _composed(words).get("tree") or {}
    model, adapter = (tree.get(kind) for kind in ("model", "adapter"))
    paths = [part.get("path") for part in (adapter, model) if isinstance(part, Mapping)]
    chosen = next((str(path) for path in paths if path), "the model")
    return f"the page loads models itself: choose {chosen} under Chat"


def _measuring(written: Mapping[str, str | None], words: list[str]) -> list[str]:
    if written["command"] == "eval":
        return ["eval", *words]
    folder = written.get("output_dir")
    output = ["-o", str(Path(folder) / "generated_predictions.jsonl")] if folder else []
    return ["predict", *words, *output, *(["--overwrite"] if folder else [])]


def processes(environment: Mapping[str, str], named: str | None = None) -> list[str]:
    """Overrides for a run of several processes: where torchrun is asked for, or there are several GPUs.

    Args:
        named: what the run's file says that starts them; Ray has machines of its own.
    """
    count, nodes = environment.get("NPROC_PER_NODE"), environment.get("NNODES", "1")
    forced = environment.get("FORCE_TORCHRUN", "").lower() in ("1", "true", "y", "yes", "on")
    several = forced or nodes != "1" or int(count or 1) > 1 or gpus(environment) > 1
    if named == "ray" or "WORLD_SIZE" in environment or not several:
        return []
    made = [*([] if named else ["parallel=ddp"]), *([f"parallel.processes={count}"] if count else [])]
    if environment.get("MAX_RESTARTS", "0").isdigit() and environment.get("MAX_RESTARTS", "0") != "0":
        made.append(f"parallel.restarts={environment['MAX_RESTARTS']}")
    if nodes != "1":
        made += [f"parallel.nodes={nodes}", f"parallel.node_rank={environment.get('NODE_RANK', '0')}"]
    if "MASTER_ADDR" in environment or nodes != "1":
        master = (environment.get("MASTER_ADDR", "127.0.0.1"), environment.get("MASTER_PORT", "29500"))
        made.append(f"parallel.master={':'.join(master)}")
    return made
