"""The server starts quickly and small: what trains and computes is other processes."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("torch", "transformers", "numpy", "pandas", "datasets", "pyarrow", "accelerate", "peft", "matplotlib", "PIL")

_PROGRAM = """
import json, sys, tempfile
from pathlib import Path
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace

studio = Studio(Workspace(Path("runs"), Path(tempfile.mkdtemp())))
client = TestClient(make_app(studio, Options()), base_url="http://127.0.0.1:7860")
assert client.get("/").status_code == client.get("/api/openapi.json").status_code == 200
studio.close()
print(json.dumps(sorted(sys.modules)))
"""


def test_the_server_imports_nothing_heavy() -> None:
    told = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    modules = set(json.loads(told.stdout))
    assert "fastapi" in modules and not modules & set(HEAVY)
