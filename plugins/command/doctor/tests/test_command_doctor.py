"""What is found wrong with installations that are made up, and what is shown of this one."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith import __version__
from tunesmith.catalog import Catalog, Entry
from tunesmith_command_doctor import Doctor, Env, combinations, installed, libraries, machine, settings, torch_device
from tunesmith_command_doctor.found import Finding
from tunesmith_command_doctor.installed import Distribution, Installed
from tunesmith_command_doctor.machine import Nvidia
from tunesmith_command_doctor.report import Report, private
from tunesmith_library_testing import CommandSuite


class TestDoctor(CommandSuite):
    plugin = Doctor


class TestEnv(CommandSuite):
    plugin = Env


def there(*named: str, **requires: tuple[str, ...]) -> Installed:
    """Distributions, as `torch==2.13.0+cpu`, with the requirements of some by their import names."""
    found = {}
    for one in named:
        name, _, version = one.partition("==")
        found[name] = Distribution(name, version, requires.get(name.replace("-", "_"), ()), "/nowhere")
    return found


def combined(found: Installed, gpus: Nvidia | None = None) -> dict[str, Finding]:
    return {finding.about: finding for finding in combinations.findings(found, gpus or Nvidia())}


def test_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems first, versions and hardware after them; no secret, and the home folder as ~."""
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:geheim12@proxy:3128")
    monkeypatch.setenv("TUNESMITH_PLUGINS", "command.doctor")
    monkeypatch.setenv("HF_HOME", str(Path.home() / "kept"))
    result = CliRunner().invoke(Doctor().command(), ["--json"])  # type: ignore[attr-defined]
    told = json.loads(result.stdout)
    assert result.exit_code == int(any(finding["wrong"] for finding in told["findings"])), result.output
    facts = told["facts"]
    assert facts["Tunesmith"]["tunesmith"] == __version__ and "doctor" in facts["Tunesmith"]["command"]
    assert facts["Libraries"]["pluggy"].split()[0] == importlib.metadata.version("pluggy")
    assert facts["Settings"]["HF_TOKEN"] == "set" and facts["Settings"]["HF_HOME"] == "~/kept"
    assert "hf_abc" not in result.stdout and "geheim12" not in result.stdout
    assert str(Path.home() / "kept") not in result.stdout


def test_problems_come_first_each_with_what_to_do() -> None:
    note, wrong = Finding("a", "is slow", "make it quick", wrong=False), Finding("b", "is broken", "mend it")
    report = Report((note, wrong), {"Things": {"a": "1", "longer": "2"}})
    lines = report.as_text().splitlines()
    assert lines[0] == "1 wrong; 1 to know."
    assert lines[2:4] == ["wrong: b: is broken", "    mend it"] and lines[5] == "note: a: is slow"
    assert lines[-3:] == ["Things", "  a       1", "  longer  2"] and report.wrong
    assert Report((note,), {}).as_text().startswith("Nothing is wrong; 1 to know.")


def test_names_of_users_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/alice"))
    assert private("/home/alice/runs /scratch/alice/x /home/alicent") == "~/runs /scratch/USER/x /home/alicent"


def test_requirements_that_do_not_hold() -> None:
    """Of plugins, and of what these stand on; once each, with who asks."""
    found = there(
        *("tunesmith-a==1", "tunesmith-b==1", "peft==0.17", "transformers==5.20", "tokenizers==0.30", "trl==1.0"),
        tunesmith_a=("peft>=0.18", "surely-missing>=2", "trl>=1.16; extra == 'testing'"),
        tunesmith_b=("peft>=0.18", "transformers>=5.10"),
        transformers=("tokenizers<0.24",),
        trl=("also-missing",),
    )
    told = {finding.about: finding for finding in libraries.findings(found) if finding.wrong}
    assert set(told) == {"peft", "surely-missing", "tokenizers"}, "of an extra, and of what nobody asks for, nothing"
    assert told["peft"].message == "tunesmith-a, tunesmith-b need peft>=0.18; 0.17 is installed"
    assert told["peft"].advice == 'pip install "peft>=0.18"' and "not installed" in told["surely-missing"].message
    assert "transformers needs tokenizers<0.24" in told["tokenizers"].message


def test_newer_than_what_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"peft": {"lowest": "0.18.0", "pinned": "0.21.2", "newest": "0.21.2"}}
    monkeypatch.setattr(libraries, "tested", lambda: known)
    (finding,) = libraries.findings(there("peft==0.22.0"))
    assert not finding.wrong and "peft 0.22.0 (tested: up to 0.21.2)" in finding.message
    assert finding.advice.endswith("pip install peft==0.21.2")
    assert not list(libraries.findings(there("peft==0.21.9"))), "a patch is no news"


def test_what_was_tested_is_in_order() -> None:
    from packaging.version import Version

    tested = libraries.tested()
    assert {"torch", "transformers", "peft", "trl", "datasets", "accelerate"} <= set(tested)
    for name, known in tested.items():
        assert Version(known["lowest"]) <= Version(known["pinned"]) <= Version(known["newest"]), name


def test_broken_plugins_and_other_versions() -> None:
    def load() -> Any:
        raise ImportError("no fastapi")

    catalog = Catalog([Entry("command", "api", "tunesmith-command-api", "0.0.1", "x:X", "", load)])
    found = there("tunesmith-command-api==0.0.1", "tunesmith-of-others==7")
    told = {finding.about: finding for finding in installed.findings(catalog, found)}
    assert set(told) == {"command.api", "tunesmith"}
    assert "ImportError: no fastapi" in told["command.api"].message and "pip install" in told["command.api"].advice
    assert "tunesmith-command-api 0.0.1" in told["tunesmith"].message and "others" not in told["tunesmith"].message


def test_one_distribution_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies first on the path hides the others, as importing does."""
    for folder, version in (("first", "2.0"), ("second", "1.0")):
        about = tmp_path / folder / f"torch-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    found = installed.snapshot()
    assert found["torch"].version == "2.0"
    (finding,) = installed.findings(Catalog([]), found)
    assert finding.wrong and "hides 1.0 in" in finding.message and "second" in finding.message


@pytest.mark.parametrize(
    ("named", "requires", "about"),
    [
        (("torch==2.13.0+cpu", "torchvision==0.28.0"), {"torchvision": ("torch==2.13.0",)}, "torchvision"),
        (("torch==2.13.0", "torchaudio==2.11.0"), {"torchaudio": ("torch==2.11.0",)}, "torchaudio"),
        (("torch==2.13.0", "flash-attn==2.8.3+cu12torch2.8cxx11abiTRUE"), {}, "flash-attn"),
        (("numpy==2.4.6", "pandas==2.1.0"), {}, "pandas"),
        (("peft==0.20.0", "torchao==0.15.0"), {}, "torchao"),
        (("autoawq==0.2.9",), {}, "autoawq"),
    ],
)
def test_what_does_not_go_together(named: tuple[str, ...], requires: dict[str, tuple[str, ...]], about: str) -> None:
    assert set(combined(there(*named, **requires))) == {about}


def test_what_goes_together() -> None:
    right = there(
        "torch==2.13.0+cpu",
        "torchvision==0.28.0+cpu",
        "numpy==2.4.6",
        "pandas==2.3.0",
        "peft==0.21.2",
        "torchao==0.16.0",
    )
    assert not combined(right)


def test_torch_and_the_driver(tmp_path: Path) -> None:
    """What torch is built for is read beside it; nobody imports it."""
    (tmp_path / "torch").mkdir()
    file, gpus = tmp_path / "torch" / "version.py", Nvidia(("NVIDIA H100",), (), "550.54", "12.4")
    found = {"torch": Distribution("torch", "2.13.0", (), str(tmp_path))}
    file.write_text("from typing import Optional\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n")
    assert combinations.cuda_of_torch(found) == "13.0"
    assert "the driver 550.54 runs CUDA 12.4 at most" in combined(found, gpus)["torch"].message
    assert not combined(found, Nvidia(("NVIDIA H100",), (), "580.65", "13.0"))
    file.write_text("cuda: Optional[str] = None\nhip: Optional[str] = None\n")
    assert "computes on the processor only; this machine has NVIDIA H100" in combined(found, gpus)["torch"].message
    assert not combined(found, Nvidia())
    file.write_text("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n")
    assert not combined(found, gpus), "AMD's build"


def test_what_the_driver_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    said = '[ "$1" ] && echo "NVIDIA T4, 15360, 512, 7.5, 550.54" || echo "| CUDA Version: 12.4 |"'
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    gpus = machine.nvidia()
    assert gpus == Nvidia(("NVIDIA T4",), ("NVIDIA T4, 15 GiB (0 used), sm_7.5, no bf16",), "550.54", "12.4")
    assert machine.facts(gpus)["GPU 0"].startswith("NVIDIA T4")
    program.write_text("#!/bin/sh\necho Failed to initialize NVML; exit 18\n")
    assert machine.nvidia().failure == "Failed to initialize NVML"
    assert [finding.about for finding in machine.findings(machine.nvidia())][:1] == ["nvidia-smi"]


def test_disks_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_free", lambda place: 5e8)
    told = [finding for finding in machine.findings(Nvidia()) if finding.about == "disk"]
    assert len(told) == 3 and all(finding.wrong and "0.5 GB are free" in finding.message for finding in told)


def test_the_size_of_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it could be counted in the time that there is."""
    assert machine._size(tmp_path / "none") == "none"
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2_500_000_000)
    assert machine._size(tmp_path) == "2.5 GB"
    monkeypatch.setattr(machine, "_SECONDS", -1.0)
    assert machine._size(tmp_path) == "more than 2.5 GB"


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("locale.getpreferredencoding", lambda do_setlocale=True: "ANSI_X3.4-1968")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    catalog = Catalog([], restriction="TUNESMITH_PLUGINS=lora hides 3 plugins")
    told = {finding.about for finding in settings.findings(catalog)}
    assert told == {"PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "language", "TUNESMITH_PLUGINS"}
    assert settings.facts()["hub"] == "not asked: offline"


def test_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, of which a crash is reported."""

    def run(code: int, stdout: str, stderr: str = "") -> None:
        done: Any = subprocess.CompletedProcess([], code, stdout, stderr)
        monkeypatch.setattr(subprocess, "run", lambda *command, **options: done)

    run(0, 'said while importing\n{"torch": "2.13.0"}\n')
    assert torch_device.asked() == ({"torch": "2.13.0"}, [])
    run(1, "", "Traceback …\nOSError: libcudart.so.13: cannot open shared object file\n")
    facts, (finding,) = torch_device.asked()
    assert facts == {} and "libcudart.so.13" in finding.message and finding.wrong
