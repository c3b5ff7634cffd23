"""Released as it would be: every distribution as a wheel, installed into an empty environment, and used there."""

import email
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_installation import ROOT, call, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of all distributions."""
    folder = tmp_path_factory.mktemp("dist")
    for project in [ROOT / "kernel", *(file.parent for file in ROOT.glob("plugins/*/*/pyproject.toml")), ROOT]:
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(project)]
        subprocess.run(command, check=True)
    return folder


def test_every_wheel_says_what_it_is(dist: Path) -> None:
    wheels = sorted(dist.glob("*.whl"))
    assert len(wheels) == 2 + len(list(ROOT.glob("plugins/*/*/pyproject.toml")))
    versions = set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (described,) = [name for name in names if name.endswith(".dist-info/METADATA")]
            metadata = email.message_from_bytes(archive.read(described))
            (licence,) = [name for name in names if name.endswith("/licenses/LICENSE")]
            assert archive.read(licence) == (ROOT / "LICENSE").read_bytes(), wheel.name
        assert metadata["License-Expression"] == "Apache-2.0" and metadata["Author"], wheel.name
        labels = {url.partition(",")[0] for url in metadata.get_all("Project-URL")}
        assert labels >= {"Homepage", "Documentation", "Issues", "Changelog"}, wheel.name
        assert "Typing :: Typed" in metadata.get_all("Classifier"), wheel.name
        assert any(name.endswith("/py.typed") for name in names) or "suite" in wheel.name, wheel.name
        assert not any("/tests/" in name or name.endswith(".pyc") for name in names), wheel.name
        versions.add(metadata["Version"])
    assert len(versions) == 1, "one version for all"


def test_trains_chats_and_exports_from_wheels_alone(
    dist: Path, tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment that knows nothing of the repository, with the extra that the README names."""
    links = os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))
    monkeypatch.setenv("UV_FIND_LINKS", ",".join(filter(None, (str(dist), links))))
    python = environment(tmp_path / "venv", "tunesmith-suite[default]")
    code = "import importlib.metadata as m; print([d.read_text('direct_url.json') for d in m.distributions()])"
    assert "editable" not in call(python, "-c", code, cwd=tmp_path).stdout
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": "A smith."}] * 100))
    words = (f"model.path={tiny_llama}", "data.train=[train.json]", "output_dir=out", "trainer.max_steps=2")
    call(python, "-m", "tunesmith", "train", "conf/sft_lora.yaml", *words, cwd=tmp_path)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    ask = ("-m", "Who are you?", "engine.max_new_tokens=4")
    assert "Who are you?" in call(python, "-m", "tunesmith", "chat", "out", *ask, cwd=tmp_path).stdout
    call(python, "-m", "tunesmith", "export", "out", "-o", "merged", cwd=tmp_path)
    assert (tmp_path / "merged" / "model.safetensors").is_file()
