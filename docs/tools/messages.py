"""The catalogues of messages: `python docs/tools/messages.py [LANGUAGE]` brings them up to date with the code.

A package's catalogue is `locale/LANGUAGE/LC_MESSAGES/PACKAGE.po`. New messages come in without translation, those that
no code says any more go out. `--check` writes nothing and names what is new, gone or untranslated; a third party's
package is read by `python docs/tools/messages.py zh PATH/TO/PACKAGE`.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "kernel"), str(ROOT / "plugins/library/configuration"), str(ROOT / "docs/tools")]

from message_flow import Reading  # noqa: E402
from message_module import Module  # noqa: E402
from message_texts import escaped, is_message  # noqa: E402
from tunesmith.cli.languages import read_po  # noqa: E402

_HEAD = 'msgid ""\nmsgstr "Language: {language}\\nContent-Type: text/plain; charset=UTF-8\\n"\n'


def packages() -> list[Path]:
    """The folders of all packages of the repository."""
    return [ROOT / "kernel/tunesmith", *sorted(ROOT.glob("plugins/*/*/tunesmith_*"))]


def extracted(folders: Iterable[Path]) -> dict[Path, dict[str, list[str]]]:
    """What each package says: its msgids, each with the files that have it."""
    found: dict[Path, dict[str, list[str]]] = {folder: {} for folder in folders}
    files = [file for folder in found for file in sorted(folder.rglob("*.py")) if "skeleton" not in file.parts]
    for file, texts in Reading([Module(file) for file in files]).texts().items():
        package = next(folder for folder in found if folder in file.parents)
        for text in texts:
            found[package].setdefault(text, []).append(file.relative_to(package).as_posix())
    for package, texts in found.items():
        for file in sorted(package.glob("keys.toml")):
            for text in _of_keys(file):
                texts.setdefault(text, [file.name])
    return found


def _of_keys(file: Path) -> Iterator[str]:
    """What the table of another program's keys says of each."""
    for keys in tomllib.loads(file.read_text(encoding="utf-8")).values():
        texts = (entry.get(part, "") for entry in keys.values() for part in ("means", "why", "advice", "none"))
        yield from (escaped(text) for text in texts if is_message(text))


def catalogue(package: Path, language: str) -> Path:
    """The file of a package's catalogue."""
    return package / "locale" / language / "LC_MESSAGES" / f"{package.name}.po"


def written(language: str, texts: Mapping[str, list[str]], known: Mapping[str, str]) -> str:
    """A catalogue's text: its messages in the order of the code, with the translations that are known."""
    entries = [
        f"#: {' '.join(files)}\nmsgid {_quoted(text)}\nmsgstr {_quoted(known.get(text, ''))}\n"
        for text, files in texts.items()
    ]
    return "\n".join([_HEAD.replace("{language}", language), *entries])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def state(package: Path, language: str, texts: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What is to be done in a catalogue: its messages that are new, gone, and without translation."""
    file = catalogue(package, language)
    known = {text: meant for text, meant in read_po(file) if text} if file.exists() else {}
    silent = [text for text in texts if not known.get(text)]
    return {"new": [t for t in texts if t not in known], "gone": [t for t in known if t not in texts], "silent": silent}


def update(package: Path, language: str, texts: Mapping[str, list[str]]) -> None:
    """Write a package's catalogue; one that has never had a translation is written all the same, to be filled."""
    file = catalogue(package, language)
    known = dict(read_po(file)) if file.exists() else {}
    if texts:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(written(language, texts, known), encoding="utf-8")


def main(words: list[str]) -> int:
    """Bring catalogues up to date, or with --check say which are not."""
    checks = "--check" in words
    language, *paths = [word for word in words if word != "--check"] or ["zh"]
    wanted = [Path(path).resolve() for path in paths] or packages()
    stale = told = silent = 0
    for package, texts in extracted([*dict.fromkeys([*packages(), *wanted])]).items():
        if package not in wanted or not texts:
            continue
        if not checks:
            update(package, language, texts)
        found = state(package, language, texts)
        told, silent = told + len(texts), silent + len(found["silent"])
        stale += bool(found["new"] or found["gone"])
        for line in [f"{what}: {text}" for what in ("new", "gone") for text in found[what]]:
            print(f"{package.name}: {line}")
        if paths:
            print(f"{package.name}: {len(found['silent'])} of {len(texts)} messages have no translation")
    print(f"{language}: {silent} of {told} messages have no translation")
    if stale:
        print(f"{stale} catalogues are out of date: make messages", file=sys.stderr)
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
