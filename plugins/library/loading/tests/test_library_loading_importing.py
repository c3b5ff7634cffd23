"""What is installed and not used is not imported, and is there when it is."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tunesmith_library_loading.importing import HIDDEN, collector_at_rest, stored_with

PROGRAM = """
import sys
from tunesmith_library_loading.importing import import_transformers
import_transformers(training=True, needed=sys.argv[1:])
import peft
torch = sys.modules["torch"]
model = torch.nn.Sequential(torch.nn.Linear(4, 4))
peft.get_peft_model(model, peft.LoraConfig(target_modules=["0"]))
print(*sorted({"bitsandbytes", "hqq", "torchao"} & set(sys.modules)))
import importlib.util
from transformers.utils import import_utils
for name in ("bitsandbytes", "hqq", "torchao"):
    installed = importlib.util.find_spec(name) is not None
    assert getattr(import_utils, f"is_{name}_available")() is installed, name
import_transformers(training=True, needed=["bitsandbytes"])
from peft.import_utils import is_bnb_available
assert is_bnb_available() is (importlib.util.find_spec("bitsandbytes") is not None)
if importlib.util.find_spec("hqq"):
    import_transformers(training=True, needed=["hqq"])
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
    config = BaseQuantizeConfig(nbits=4, group_size=64)
    stored = HQQLinear(torch.nn.Linear(64, 64), config, compute_dtype=torch.float32, device="cpu")
    for layer in (stored, torch.nn.Linear(64, 64)):
        made = peft.get_peft_model(torch.nn.Sequential(layer), peft.LoraConfig(target_modules=["0"]))
        assert type(made.base_model.model[0]).__name__ == ("HqqLoraLinear" if layer is stored else "Linear")
import transformers.models.llama.modeling_llama
"""


@pytest.mark.slow
@pytest.mark.parametrize("needed", [("", "gptq"), *((name,) for name in HIDDEN)])
def test_only_what_is_needed_is_imported(needed: tuple[str, ...]) -> None:
    for name in needed:
        if name in HIDDEN:
            pytest.importorskip(name)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *needed], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {name for name in needed if name in HIDDEN}


SCIPY = """
import gc, inspect, sys
from pathlib import Path
from tunesmith_library_loading.importing import import_transformers
import_transformers(training=True)
assert not {"scipy", "sklearn"} & set(sys.modules), "scipy was imported"
assert gc.isenabled() and gc.get_freeze_count() > 100_000, gc.get_freeze_count()
from transformers.utils import import_utils
assert import_utils.is_scipy_available()
losses = [module for name, module in sys.modules.items() if name.startswith("transformers.loss.")]
users = [module for module in losses if "linear_sum_assignment(" in inspect.getsource(module)]
assert len(users) > 1, losses
import numpy
for module in users:
    rows, columns = module.linear_sum_assignment(numpy.array([[3.0, 1.0], [1.0, 3.0]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0]), module
    assert module.linear_sum_assignment is sys.modules["scipy.optimize"].linear_sum_assignment

import transformers
assert import_utils.create_import_structure_from_path.__module__ == "transformers.utils.import_utils"
assert hasattr(import_utils.create_import_structure_from_path, "cache_clear"), "it is still the one of the import"
package = str(Path(transformers.__file__).parent / "models" / "__init__.py")
once = import_utils.define_import_structure(package)  # what the package was made of
import_utils.define_import_structure.cache_clear()
import_utils.create_import_structure_from_path.cache_clear()
assert import_utils.define_import_structure(package) == once
assert len(once) > 1
"""


@pytest.mark.slow
def test_scipy_comes_when_it_is_called_and_models_are_the_same() -> None:
    pytest.importorskip("scipy")
    done = subprocess.run([sys.executable, "-c", SCIPY], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_is_left_as_it_was(running: bool) -> None:
    before = gc.isenabled()
    (gc.enable if running else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), collector_at_rest():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is running
    finally:
        (gc.enable if before else gc.disable)()


def test_how_a_folder_was_quantised(tmp_path: Path) -> None:
    assert stored_with(tmp_path) == ()
    (tmp_path / "config.json").write_text("{}")
    assert stored_with(tmp_path) == ()
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "torchao"}}))
    assert stored_with(tmp_path) == ("torchao",)
