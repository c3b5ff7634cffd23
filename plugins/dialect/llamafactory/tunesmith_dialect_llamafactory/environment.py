"""Variables of the environment that LLaMA-Factory reads: those that count here, and why the others do not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tunesmith.types import Note

from tunesmith_dialect_llamafactory.draft import Draft

_ON = ("1", "true", "y", "yes", "on")
_HUBS = {"USE_MODELSCOPE_HUB": "modelscope", "USE_OPENMIND_HUB": "modelers"}

HONOURED = {
    "USE_MODELSCOPE_HUB": "default_hub=modelscope, for models and data sets",
    "USE_OPENMIND_HUB": "default_hub=modelers, for models and data sets",
    "HF_ENDPOINT": "read by hub.huggingface",
    "HF_TOKEN": "read by hub.huggingface",
    "CUDA_VISIBLE_DEVICES": "read by torch",
    "ASCEND_RT_VISIBLE_DEVICES": "read by torch",
    "FORCE_TORCHRUN": "llamafactory-cli train: parallel=ddp",
    "NNODES": "llamafactory-cli train: parallel.nodes",
    "NODE_RANK": "llamafactory-cli train: parallel.node_rank",
    "NPROC_PER_NODE": "llamafactory-cli train: parallel.processes",
    "MAX_RESTARTS": "llamafactory-cli train: parallel.restarts",
    "USE_RAY": "parallel=ray",
    "RAY_ADDRESS": "read by parallel.ray",
    "MASTER_ADDR": "llamafactory-cli train: parallel.master",
    "MASTER_PORT": "llamafactory-cli train: parallel.master",
    "ALLOW_EXTRA_ARGS": "keys that nobody knows are left out, and said to be",
    "LLAMAFACTORY_VERBOSITY": "llamafactory-cli: WARN and ERROR are --quiet, DEBUG is --debug",
    "API_HOST": "llamafactory-cli api: --host",
    "API_PORT": "llamafactory-cli api: --port",
    "API_KEY": "read by the server",
    "API_MODEL_NAME": "llamafactory-cli api: --model-name",
    "FASTAPI_ROOT_PATH": "llamafactory-cli api: --root-path",
    "GRADIO_SERVER_NAME": "llamafactory-cli webui: --host",
    "GRADIO_SERVER_PORT": "llamafactory-cli webui: --port",
    "WANDB_API_KEY": "read by wandb",
    "WANDB_PROJECT": "read by wandb",
    "WANDB_MODE": "read by wandb",
}
"""What is read, and where."""

MEANINGLESS = {
    "DISABLE_VERSION_CHECK": "versions are checked when packages are installed.",
    "FORCE_CHECK_IMPORTS": "code of a model is run only with model.trust_remote_code.",
    "OPTIM_TORCH": "torch's memory is set up by PYTORCH_CUDA_ALLOC_CONF.",
    "RECORD_VRAM": "peaks of memory are always recorded.",
    "USE_KT": "experts are not computed by KTransformers.",
    "USE_MCA": "Megatron is not run.",
    "USE_MEGATRON_BRIDGE": "Megatron is not run.",
    "USE_V1": "old and new files are told apart by what is in them.",
    "RDZV_ID": "processes find together at parallel.master.",
    "MIN_NNODES": "parallel=ray with parallel.min_processes takes what there is.",
    "MAX_NNODES": "parallel=ray with parallel.min_processes takes what there is.",
    "NPU_JIT_COMPILE": "torch decides it.",
    "IMAGE_PLACEHOLDER": "an image stands at <image> in a text, or is a part of a message's content.",
    "VIDEO_PLACEHOLDER": "a video stands at <video> in a text, or is a part of a message's content.",
    "AUDIO_PLACEHOLDER": "a sound stands at <audio> in a text, or is a part of a message's content.",
    "WANDB_DISABLED": "wandb is on only where tracker.wandb is chosen.",
    "LLAMABOARD_ENABLED": "there is no board that waits for this run.",
    "LLAMABOARD_WORKDIR": "there is no board that waits for this run.",
    "GRADIO_SHARE": "nothing is shown through another's server.",
    "GRADIO_ROOT_PATH": "a proxy says under which path it serves.",
    "GRADIO_IPV6": "--host says it.",
    "MAX_CONCURRENT": "engine.batch_size says how many answers are computed together.",
    "ALLOW_LOCAL_FILES": "--allow-media-path of tunesmith api names the folders that media are read in.",
    "SAFE_MEDIA_PATH": "--allow-media-path of tunesmith api names the folders that media are read in.",
    "API_VERBOSE": "--debug tells more.",
    "DEMO_MODEL": "a command takes its model.",
    "DEMO_TEMPLATE": "a command takes its template.",
    "DEMO_BACKEND": "a command takes its engine.",
}
"""What is not read, and why."""

MESSAGES = (HONOURED, MEANINGLESS)
"""What is translated into the user's language."""


def gpus(environment: Mapping[str, str]) -> int:
    """How many NVIDIA GPUs this process may use, as the driver says it."""
    there = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    return there if chosen is None else min(there, len([device for device in chosen.split(",") if device.strip()]))


def is_on(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a switch of the environment is on."""
    return environment.get(name, "").lower() in _ON


def hub_of_the_environment(draft: Draft) -> None:
    """Models and data sets without the name of a hub come from the one that the environment names."""
    for name, hub in _HUBS.items():
        if is_on(name):
            draft.config["default_hub"] = hub
            draft.notes.append(Note("default_hub", "translated", f"{hub}, by {name}."))
            return


def without_meaning(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """What to say of each variable that is set and means nothing here."""
    for name, reason in MEANINGLESS.items():
        if environment.get(name, "") not in ("", "0", "false", "False"):
            yield f"{name} means nothing here: {reason}"
