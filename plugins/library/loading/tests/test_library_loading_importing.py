"""What is installed and not used is not imported, and is there when it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tunesmith_library_loading.importing import HIDDEN, stored_with

PROGRAM = """
import sys
from tunesmith_library_loading.importing import import_transformers
import_transformers(training=True, needed=sys.argv[1:])
print(*sorted({"hqq", "torchao"} & set(sys.modules)))
import importlib.util
from transformers.utils import import_utils
for name in ("hqq", "torchao"):
    installed = importlib.util.find_spec(name) is not None
    assert getattr(import_utils, f"is_{name}_available")() is installed, name
import_transformers(training=True)
import transformers.models.llama.modeling_llama
"""


@pytest.mark.parametrize("needed", [("", "gptq"), *(pytest.param((name,), marks=pytest.mark.slow) for name in HIDDEN)])
def test_only_what_is_needed_is_imported(needed: tuple[str, ...]) -> None:
    for name in needed:
        if name in ("torchao", "hqq"):
            pytest.importorskip(name)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *needed], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {name for name in needed if name in ("torchao", "hqq")}


def test_how_a_folder_was_quantised(tmp_path: Path) -> None:
    assert stored_with(tmp_path) == ()
    (tmp_path / "config.json").write_text("{}")
    assert stored_with(tmp_path) == ()
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "torchao"}}))
    assert stored_with(tmp_path) == ("torchao",)
