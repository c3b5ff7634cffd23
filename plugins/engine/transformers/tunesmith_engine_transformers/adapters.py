"""The adapters beside a model, by the names that requests choose them by. Some come and go while it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError, choices

from .weights import BASE, adapters_of, opened_as


class Beside:
    """What a model carries beside its weights.

    Args:
        model: as it was opened.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._opened_with, self._opened_as = adapters_of(model), opened_as(model)
        self._loaded: dict[str, str] = {}  # peft's name by ours: peft allows no dots
        self._count = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What requests may choose: the base has a name where there is something else."""
        return (*(self._opened_with or ((BASE,) if self._loaded else ())), *self._loaded)

    def name(self, asked: str | None) -> str | None:
        """peft's name of what is asked for; what acts as the model was opened where nothing is."""
        return self._opened_as if asked is None else self._loaded.get(asked, asked)

    def load(self, name: str, folder: Path) -> Any:
        """Put an adapter beside the model.

        Returns: the model, which may be another object.
        Raises: TunesmithError for a name that is taken, and an adapter that does not fit.
        """
        from tunesmith_library_adapting.serving import put_beside

        if not name or name == BASE or name in self.names:
            raise TunesmithError(f"the name {name!r} is taken.\n  choose another, or unload it first")
        self._count += 1
        self.model = put_beside(self.model, folder, f"loaded{self._count}")
        self._loaded[name] = f"loaded{self._count}"
        return self.model

    def unload(self, name: str) -> Any:
        """Let an adapter go that was loaded.

        Returns: the model, which may be another object.
        Raises: TunesmithError for another one.
        """
        from tunesmith_library_adapting.serving import take_from

        if name not in self._loaded:
            advice = choices(name, self._loaded) if self._loaded else "none was loaded while the model answers"
            raise TunesmithError(f"{name!r} was not loaded, and cannot be unloaded.\n{advice}")
        take_from(self.model, self._loaded.pop(name))
        if not self._loaded and not self._opened_with:
            self.model = self.model.unload()
        return self.model
