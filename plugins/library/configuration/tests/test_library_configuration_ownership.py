"""What counts in the record of a run that somebody else made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from tunesmith_library_configuration.keys import Key
from tunesmith_library_configuration.layers import Layers
from tunesmith_library_configuration.overrides import read_overrides
from tunesmith_library_configuration.ownership import is_strange, remember
from tunesmith_library_configuration.secrets import hidden, names_secret
from tunesmith_library_configuration.texts import fault_in_run, faults, file_in_run
from tunesmith_library_configuration.validate import structured


@dataclass(kw_only=True)
class Trusting:
    """A thing with options that count on the user's word only."""

    guarded: ClassVar[tuple[str, ...]] = ("code", "headers", "path")
    guarded_outside: ClassVar[tuple[str, ...]] = ("folder",)

    code: bool = False  # to be run
    headers: dict[str, str] = field(default_factory=dict)  # to be sent
    path: str = "here"  # to be asked
    folder: str | None = None  # to be written to
    size: int = 1  # that anybody may choose


class One:
    many, default = False, ("trusting",)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def unsaid(file: Path, *overrides: str) -> list[str]:
    layers = Layers(named={"thing": One()})
    layers.add_file(file)
    layers.override(read_overrides(list(overrides)))
    values = {name: value for name, value in layers.tree.get("thing", {}).items() if name != "name"}
    _, problems = structured(Trusting, values, Key("thing"), "thing=trusting", layers.origins)
    return [str(problem.key) for problem in (*problems, *layers.reference_problems())]


def written(folder: Path, text: str, name: str = "run.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


ASKED = "thing: {code: true, headers: {a: HF_TOKEN}, path: here, size: 5}\n"


def test_a_strangers_record_does_not_count_for_all(tmp_path: Path) -> None:
    record = written(tmp_path / "run", ASKED)
    assert unsaid(record) == ["thing.code", "thing.headers"]
    assert unsaid(record, "thing.code=true") == ["thing.headers"]
    assert unsaid(record, "thing.code=false", "thing.headers={}") == ["thing.headers"], "theirs is still in it"
    assert unsaid(written(tmp_path / "run", "thing: {code: false, path: there}\n")) == ["thing.path"]


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("runs/x", False),
        ("./x", False),
        ("../x", True),
        ("/x", True),
        ("~/x", True),
        ("a/../../x", True),
        ("link/x", True),
    ],
)
def test_a_strangers_record_writes_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, refused: bool
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("link").symlink_to("/")
    assert unsaid(written(Path("run"), f"thing: {{folder: {folder}}}\n")) == ["thing.folder"] * refused


def test_ones_own_file_counts_and_what_it_inherits_of_a_record_does_not(tmp_path: Path) -> None:
    assert unsaid(written(tmp_path, ASKED, "mine.yaml")) == []
    written(tmp_path, ASKED)
    assert unsaid(written(tmp_path, "defaults: [run.yaml]\n", "mine.yaml")) == ["thing.code", "thing.headers"]
    written(tmp_path, ASKED, "beside.yaml")
    assert unsaid(written(tmp_path, "defaults: [beside.yaml]\n")) == ["thing.code", "thing.headers"]


def test_ones_own_record_counts_where_it_was_written_as_it_was_written(tmp_path: Path) -> None:
    record = written(tmp_path / "run", ASKED)
    assert is_strange(record)
    remember(record)
    assert not is_strange(record) and unsaid(record) == []
    assert unsaid(written(tmp_path / "copied", ASKED)) == ["thing.code", "thing.headers"]
    assert unsaid(written(tmp_path / "run", ASKED + "seed: 1\n")) == ["thing.code", "thing.headers"]


def test_a_record_is_written_without_a_place_to_remember_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "", "file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    record = written(tmp_path / "run", ASKED)
    remember(record)
    assert is_strange(record)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("${oc.env:HF_TOKEN}", True),
        ("s3://theirs/${oc.env:HF_TOKEN,none}", True),
        ("${oc.env:${thing.size}}", True),
        ("${oc.decode:${oc.env:HOME}}", True),
        ("${oc.env:HOME}/data", False),
        ("${thing.size}", False),
    ],
)
def test_a_strangers_record_reads_no_secret(tmp_path: Path, text: str, refused: bool) -> None:
    assert unsaid(written(tmp_path, f"data: {{train: ['{text}']}}\n")) == ["data.train[0]"] * refused
    assert unsaid(written(tmp_path, f"data: {{train: ['{text}']}}\n", "mine.yaml")) == []


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/x", "a/b", "..", ".", "", "a\\b", "C:x", "~x", ".hidden", "x\n", "x ", "x.", "NUL", "con.txt"),
        *(
            "run.yaml",
            "RUN.YAML",
            "plugins.lock",
            "config.json",
            "model.safetensors",
            "adapter_config.json",
            "run.lock",
        ),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "checkpoint-10", "modeling_x.py"),
        *("generation_config.json", "pytorch_model.bin", "model.safetensors.index.json", "ｒun.yaml"),
    ],
)
def test_files_of_trackers_stay_in_the_run_and_off_its_own(name: str) -> None:
    assert list(faults(name, Key("file"), file_in_run))


@pytest.mark.parametrize("name", ["metrics.jsonl", "loss.png", "my metrics.csv", "Verlauf-ä.svg", "config.csv"])
def test_other_names_of_files_are_taken(name: str) -> None:
    assert fault_in_run(name) == ""


def test_what_a_variable_is_called_tells_secrets() -> None:
    secret = ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "GITHUB_PAT", "db_password", "SSH_AUTH_SOCK"]
    plain = ["HOME", "PWD", "OLDPWD", "PATH", "DATA", "TOKENIZERS_PARALLELISM", "GIT_AUTHOR_NAME", "MONKEY"]
    assert list(map(names_secret, secret)) == [True] * len(secret)
    assert list(map(names_secret, plain)) == [False] * len(plain)


def test_texts_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush-hush")
    monkeypatch.setenv("PLAIN_NAME", "nothing-to-hide")
    text = "no hush-hush-hush at https://me:pass@host/a?sig=abc&x=1, nothing-to-hide"
    assert hidden(text) == "no ${oc.env:MY_TOKEN} at https://me@host/a?sig=***&x=1, nothing-to-hide"


def test_annotated_names_are_checked_when_options_are() -> None:
    @dataclass(kw_only=True)
    class Writing:
        """A thing that writes a file."""

        file: Annotated[str, file_in_run] = "x.txt"  # written

    assert structured(Writing, {"file": "../x"}, Key("thing"), "thing")[1]
    assert not structured(Writing, {"file": "y.txt"}, Key("thing"), "thing")[1]
