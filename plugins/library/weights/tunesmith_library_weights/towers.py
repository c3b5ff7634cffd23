"""The parts of a model that also sees or hears: the language model, its towers, and what joins them.

A tower reads pictures, clips or sound; a projector brings what it read to the width of the language model. Where they
are shows in the model's structure: transformers says which module writes text (`get_decoder`) and which ones read a
medium (`get_encoder`, `input_modalities`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import Problem

from tunesmith_library_weights.cut import shape_of, size_of
from tunesmith_library_weights.shares import percent

Part = Literal["language", "vision", "audio", "projector", "tower"]
"""What options call the parts; `tower` is every tower, whatever it reads."""

LANGUAGE = ("language",)
"""The part that is trained, and stored in few bits, where nobody asked for others."""

_MEDIA = {"image": "vision", "video": "vision", "audio": "audio"}
_WRAPPED = "base_model.model."  # what peft puts before a name


@dataclass(frozen=True)
class Parts:
    """Where a model's parts are."""

    places: tuple[tuple[str, str], ...]  # the dotted name of a module or parameter, and its part; none is the language

    def of(self, name: str) -> str:
        """The part that a module or weight is in; of several places around it the innermost counts."""
        plain = f"{name.removeprefix(_WRAPPED)}."
        around = [(len(place), part) for place, part in self.places if plain.startswith(f"{place}.")]
        return max(around)[1] if around else "language"

    @property
    def names(self) -> list[str]:
        """The parts that there are."""
        return ["language", *sorted({part for _, part in self.places} - {"language"})]

    def chosen(self, towers: Sequence[str]) -> set[str]:
        """The parts that an option names."""
        of_tower = {"vision", "audio"} if "tower" in towers else set()
        return {part for part in self.names if part in towers or part in of_tower}

    def refuse_missing(self, option: str, towers: Sequence[str]) -> None:
        """Raises: TunesmithError when an option names a part that the model does not have."""
        for name in towers:
            if not self.chosen([name]):
                known = choices(name, self.names, "parts")
                raise TunesmithError(f"{option}={name}: this model has no such part.\n  {known}")


def parts_in(model: Any) -> Parts:
    """Find the parts of a model of transformers, without wrappers; one that only writes is `language` throughout."""
    if not hasattr(model, "get_decoder"):
        return Parts(())
    decoder = model.get_decoder()
    names = {id(module): name for name, module in model.named_modules()}
    inside = names.get(id(decoder))
    if inside is None:
        return Parts(())
    towers = dict(_towers(model, inside))
    if inside and any(place.startswith(f"{inside}.") for place in towers):  # the language model holds them itself
        around = {f"{inside}.{place.removeprefix(f'{inside}.').partition('.')[0]}" for place in towers}
        outside = {place: "projector" for place in around if place not in towers}
    else:
        outside = dict.fromkeys(_beside(model, inside, towers), "projector")
    if not any(len(shape_of(parameter)) > 1 for place in outside for parameter in _weights(model, place)):
        width = model.config.get_text_config().hidden_size
        for place in towers:
            outside |= dict.fromkeys(_last_in_tower(model, place, width), "projector")
    return Parts(tuple((towers | outside).items()))


def _towers(model: Any, decoder: str) -> Iterator[tuple[str, str]]:
    """The outermost models within a model that read a medium, and nothing else: dotted name, and part."""
    encoders = {id(model.get_encoder(modality=medium)): part for medium, part in _MEDIA.items()}
    found: list[str] = []
    for name, module in model.named_modules():
        holds = not name or name == decoder or decoder.startswith(f"{name}.")
        if holds or any(name.startswith(f"{other}.") for other in found):
            continue
        media = _media_of(module)
        if media is None:
            continue
        within = name.startswith(f"{decoder}.")
        part = encoders.get(id(module))
        if part is None and "text" not in media and (within or _is_beside(name, decoder)):
            part = next((_MEDIA[medium] for medium in sorted(media) if medium in _MEDIA), None)
        if part is not None:
            found.append(name)
            yield name, part


def _is_beside(name: str, decoder: str) -> bool:
    return name.rpartition(".")[0] == decoder.rpartition(".")[0]


def _beside(model: Any, decoder: str, towers: Collection[str]) -> list[str]:
    """What stands beside a language model and its towers in the module that holds both, parameters of it included."""
    if not towers and not (_media_of(model) or set()) & set(_MEDIA):
        return []
    holder = decoder.rpartition(".")[0]
    module, head = model.get_submodule(holder), model.get_output_embeddings()
    prefix = f"{holder}." if holder else ""
    fresh = set(getattr(model, "fresh_modules", ()))
    children = [prefix + name for name, child in module.named_children() if child is not head]
    own = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    around = [name for name in children if any(tower.startswith(f"{name}.") for tower in towers)]
    return [name for name in [*children, *own] if name not in (decoder, *towers, *fresh, *around)]


def _media_of(module: Any) -> set[str] | None:
    """What a model of transformers says that it reads; None for a module that is no model."""
    media = getattr(module, "input_modalities", None)
    return {media} if isinstance(media, str) else None if media is None else set(media)


def _last_in_tower(model: Any, tower: str, width: int) -> list[str]:
    """The modules of a tower that follow its layers and bring what they made to the language model's width."""
    from torch import nn

    children = list(model.get_submodule(tower).named_children())
    layers = next(
        (place for place, (_, child) in enumerate(children) if isinstance(child, nn.ModuleList)), len(children)
    )
    return [
        f"{tower}.{name}"
        for name, child in children[layers + 1 :]
        if any(width in (getattr(one, "out_features", 0), getattr(one, "out_channels", 0)) for one in child.modules())
    ]


def _weights(model: Any, place: str) -> list[Any]:
    """The parameters of a module, or the one parameter that a name is of."""
    found = model.get_submodule(place.rpartition(".")[0])
    for name in place.split(".")[-1:]:
        found = getattr(found, name)
    return list(found.parameters()) if hasattr(found, "parameters") else [found]


def towers_problems(towers: Sequence[str], key: str = "adapter.towers") -> list[Problem]:
    """What is wrong with an option that names parts, whatever the model is."""
    if not towers:
        return [Problem(key, f"{key}=[] leaves no part of the model.", f"{key}=[language]")]
    twice = sorted(name for name, count in Counter(towers).items() if count > 1)
    return [Problem(key, f"{key} names {twice[0]} more than once.", "name each part once")] if twice else []


def left_out(model: Any, towers: Sequence[str], option: str = "quantizer.towers") -> list[str]:
    """The dotted names of the outermost modules of a model that are outside of the parts that an option names.

    Raises: TunesmithError when the model does not have such a part.
    """
    parts = parts_in(model)
    parts.refuse_missing(option, towers)
    chosen = parts.chosen(towers)
    inside = [place for place, part in parts.places if part in chosen]

    def outermost(module: Any, name: str) -> Iterator[str]:
        if name and parts.of(name) not in chosen and not any(place.startswith(f"{name}.") for place in inside):
            yield name
            return
        for part, child in module.named_children():
            yield from outermost(child, f"{name}.{part}".lstrip("."))

    return [] if chosen == set(parts.names) else list(outermost(model, ""))


def left_out_of_folder(folder: Path, towers: Sequence[str]) -> list[str]:
    """What `left_out` gives of a stored model, under the names of the class that it was published as.

    No weight is read. A part that is missing is no error here: of a model that also sees its text part may be loaded.

    Returns: none where the configuration has no tower, or transformers has no such class.
    """
    import torch
    import transformers

    file = folder / "config.json"
    said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    published: Any = getattr(transformers, next(iter(said.get("architectures") or ()), ""), None)
    nested = [key for key, value in said.items() if key.endswith("_config") and isinstance(value, dict)]
    if published is None or "auto_map" in said or not set(nested) - {"text_config", "quantization_config"}:
        return []
    config = published.config_class.from_pretrained(folder)
    with torch.device("meta"):
        model = published(config)
    return left_out(model, sorted(parts_in(model).chosen(towers)))


def say_parts(model: Any) -> None:
    """Announce what share of each part of a model is trained; of one that only writes there is nothing to say."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    parts = parts_in(plain)
    if parts.names == ["language"]:
        return
    total, trained = Counter[str](), Counter[str]()
    for name, parameter in model.named_parameters():
        part = parts.of(name)
        total[part] += size_of(parameter)
        trained[part] += size_of(parameter) * parameter.requires_grad
    told = [
        f"{part} {percent(trained[part], total[part])}" if trained[part] else f"{part} frozen"
        for part in parts.names
        if total[part]
    ]
    announce("parts trained", ", ".join(told), "by the model's parts: adapter.towers")
