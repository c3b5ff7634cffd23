"""Data sets, mixtures, and what a conversation becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_trl.draft import Draft


def dataset_name(value: Any, draft: Draft) -> None:
    """One data set, and its other split to evaluate with."""
    if value is None:
        return
    if draft.get("datasets"):
        draft.note("dataset_name", "dropped", "datasets is there, too.")
        return
    entry = {"path": value, **_format(draft)}
    if draft.get("dataset_config"):
        entry["subset"] = draft.get("dataset_config")
    draft.put("data.train", [{**entry, **_split(draft, "dataset_train_split", "train")}], "dataset_name")
    if draft.get("eval_strategy") not in (None, "no", False):
        held_out = {**entry, "split": draft.get("dataset_test_split"), "name": draft.get("dataset_test_split")}
        source = "dataset_test_split" if "dataset_test_split" in draft.written else "eval_strategy"
        draft.put("data.eval", [held_out], source)


def _split(draft: Draft, key: str, usual: str) -> dict[str, Any]:
    return {} if draft.get(key) in (None, usual) else {"split": draft.get(key)}


def _format(draft: Draft) -> dict[str, Any]:
    """How records are laid out: as TRL has it, or texts where a field of texts is named."""
    field = draft.written.get("dataset_text_field")
    if draft.trainer != "sft" or field in (None, "messages"):
        return {"format": "openai"}
    return {"format": "text", **({} if field == "text" else {"columns": {"text": field}})}


def with_dataset_name(value: Any, draft: Draft) -> None:
    """A key that `dataset_name` has taken along."""


def dataset_text_field(value: Any, draft: Draft) -> None:
    if "dataset_text_field" in draft.written and value != "messages":
        draft.put("stage.name", "pretrain", "dataset_text_field")
        draft.put("stage.packing", bool(draft.get("packing")), "packing")
        draft.put("stage.longer", "cut", "truncation_mode")
        reason = "texts are learned by stage=pretrain; for conversations leave it out."
        draft.note("dataset_text_field", "translated", reason)


def datasets(value: Any, draft: Draft) -> None:
    """A mixture: without fractions one data set after the other, with them until the first is used up."""
    if not value:
        return
    weighted = any(item.get("fraction") is not None for item in value)
    draft.put("data.train", [_entry(item, index, draft) for index, item in enumerate(value)], "datasets")
    if weighted:
        draft.put("data.mix", "interleave_under", "datasets")
        draft.note("datasets", "translated", "fractions are weights; the mixture ends with the first set used up.")


def _entry(item: Mapping[str, Any], index: int, draft: Draft) -> dict[str, Any]:
    key = f"datasets[{index}]"
    entry = {"path": _path(item, key, draft), **_format(draft)}
    known = {"path", "name", "data_dir", "data_files", "split", "columns", "fraction"}
    for name in item.keys() - known:
        draft.note(f"{key}.{name}", "refused", "it is no key of a data set of trl's.", choices(name, known))
    if item.get("name"):
        entry["subset"] = item["name"]
    if item.get("split") not in (None, "train"):
        entry["split"] = item["split"]
    if item.get("fraction") is not None:
        entry["weight"] = item["fraction"]
    return entry


def _path(item: Mapping[str, Any], key: str, draft: Draft) -> str:
    """Where a data set is: `data_files` of a loader such as `json`, or a folder of it."""
    path, files = str(item.get("path")), item.get("data_files")
    if isinstance(files, list) and len(files) == 1:
        files = files[0]
    if not (files is None or isinstance(files, str)):
        draft.note(f"{key}.data_files", "refused", "several files are several data sets.", "write one entry for each")
        return path
    parts = [item.get("data_dir"), files]
    if path not in ("json", "csv", "parquet", "text"):
        parts = [path, *parts]
    return "/".join(str(part).rstrip("/") for part in parts if part)
