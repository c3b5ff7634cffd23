"""Where the exports of one command go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tunesmith_library_configuration.errors import ConfigError, TunesmithError
from tunesmith_library_configuration.keys import Key, Origins


def asked_target(output_dir: str | None, origins: Origins, command: str | None) -> str | None:
    """What `output_dir` says of an export's target; None where it says nothing of it.

    A configuration of ours says where it trains; an override of that, and another program's for an export, where the
    export goes.

    Args:
        command: that another program's configuration is for.
    """
    origin = origins.get(Key("output_dir"))
    overridden = origin is not None and origin.source in ("command line", "overrides")
    return output_dir if overridden or command == "export" else None


def export_targets(names: Sequence[str], given: str | Path | None, source: Path) -> dict[str, Path]:
    """The folder of each exporter, by its name.

    Args:
        given: what the user wants to be written; of several exporters a folder for them, each under its name.
        source: of the model; where nothing is given they go beside it, as `SOURCE-EXPORTER`.

    Raises: ConfigError when there is something already, or nothing to be written.
    """
    if not names:
        raise ConfigError("exporter: nothing is selected to write.\nwrite exporter=[NAME]")
    if given is not None:
        place = Path(given).expanduser()
        targets = {name: place / name for name in names} if len(names) > 1 else {names[0]: place}
    else:
        named = source if source.name else source.resolve()
        targets = {name: named.with_name(f"{named.name}-{name}") for name in names}
    taken = next((target for target in targets.values() if target.exists()), None)
    if taken is not None:
        raise ConfigError(f"{taken} exists already.\nremove it, or choose another with --output")
    return targets


def each_written(targets: Mapping[str, Path], write: Callable[[str, Path], Path]) -> list[Path]:
    """What each exporter writes; one that fails keeps none of the others from being tried.

    Raises: TunesmithError when one failed, with what the others have written.
    """
    done, failed = [], {}
    for name, target in targets.items():
        try:
            done.append(write(name, target))
        except TunesmithError as error:
            if len(targets) == 1:
                raise
            failed[name] = error
    if failed:
        words = [f"exporter={name}: {error}" for name, error in failed.items()]
        words += [f"the others are written: {', '.join(map(str, done))}"] if done else []
        raise TunesmithError("\n".join(words)) from next(iter(failed.values()))
    return done
