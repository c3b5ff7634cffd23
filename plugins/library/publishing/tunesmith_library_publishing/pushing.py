"""Uploading a finished folder to the Hugging Face hub, when it is asked for, and to a private repository by default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.types import Problem
from tunesmith_library_configuration.secrets import hidden

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def push_problems(plan: Plan, name: str) -> list[Problem]:
    """What keeps an exporter of a plan from uploading to its `push_to`."""
    key = f"exporter.{name}.push_to"
    repository = getattr(plan.plugin("exporter", name), "push_to", None)
    if repository is None:
        return []
    if not _REPOSITORY.fullmatch(repository):
        return [Problem(key, f"{key}={repository} is no repository of the hub.", "write it as org/name")]
    same = [other for other in plan.names("exporter") if _target(plan, other) == repository]
    if len(same) > 1:
        message = f"exporter={' and exporter='.join(same)} would upload over each other to {repository}."
        return [Problem(key, message, f"exporter.{name}.push_to={repository}-{name}")]
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return [Problem(key, "HF_HUB_OFFLINE says that there is no hub.", "unset it, or leave push_to out")]
    return []


def _target(plan: Plan, name: str) -> Any:
    return getattr(plan.plugin("exporter", name), "push_to", None)


def refuse_unpushable(repository: str | None, private: bool) -> None:
    """Raise TunesmithError, before anything is made, where a repository is public, nobody has logged in, or the hub
    cannot be reached.

    Args:
        repository: org/name; None is not uploaded to.
    """
    if repository is None:
        return
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise TunesmithError(
            f"nothing can be uploaded to {repository} without a token; nothing was written.\n"
            "  hf auth login, or set HF_TOKEN; without exporter.push_to the folder alone is written"
        )
    try:
        _refuse_public(HfApi(endpoint=os.environ.get("HF_ENDPOINT")), repository, private, "nothing was written")
    except TunesmithError:
        raise
    except Exception as error:  # of the hub's client, whose errors of a network that is not there are its own
        raise TunesmithError(
            f"{repository} could not be asked for: {_cause(error)}\n"
            "  nothing was written; without exporter.push_to the folder alone is"
        ) from error


def _refuse_public(api: Any, repository: str, private: bool, state: str) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        public = not api.repo_info(repository).private
    except RepositoryNotFoundError:
        public = False
    if public and private:
        raise TunesmithError(
            f"{repository} is there and public, and what is uploaded is private by default.\n"
            f"  exporter.private=false publishes it; {state}"
        )


def _cause(error: Exception) -> str:
    return " ".join(hidden(str(error) or type(error).__name__).split())


def push(folder: Path, repository: str, private: bool) -> str:
    """Upload a folder as one commit; the token is the hub's own (`HF_TOKEN`, `hf auth login`) and is never written.

    Args:
        repository: org/name; it is made where it is not there.
        private: whether nobody else may see it; one that others see already is then refused.

    Returns: its address.
    Raises: TunesmithError when it is refused, by the hub or because it is public, and when the hub cannot be reached;
        the folder stays as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        _refuse_public(api, repository, private, f"{folder} is complete")
        url = str(api.create_repo(repository, private=private, exist_ok=True))
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Exported with Tunesmith")
    except TunesmithError:
        raise
    except Exception as error:  # of the hub's client, whose errors of a network that is not there are its own
        raise TunesmithError(
            f"{repository} could not be uploaded: {_cause(error)}\n"
            f"  {folder} is complete; upload it with: hf upload {repository} {folder}"
        ) from error
    announce("uploaded", url, "private" if private else "for everybody to see")
    return url
