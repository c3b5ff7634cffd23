"""A run that has learned an answer, what it is served as by llama.cpp, and what it differs in from another run."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from learned_answer import ANSWER, learned_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learned_run(tmp_path_factory.mktemp("served"))


@pytest.fixture
def llama(run: Path) -> Iterator[Any]:
    """Serves what llama-cpp-python, which speaks the protocol, answers with a file: `server.model`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "tiny"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = "create_chat_completion" if "messages" in asked else "create_completion"
            try:
                server: Any = self.server
                self._send(getattr(server.model, name)(**asked))
            except Exception as error:
                self._send({"error": {"message": str(error)}}, 500)

        def _send(self, said: Any, status: int = 200) -> None:
            body = json.dumps(said, default=float).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def verified(run: Path, server: Any) -> Any:
    from tunesmith_command_verify.verifying import verified

    return verified(str(run), f"http://127.0.0.1:{server.server_port}", None, None, 0.1, 60.0)


def test_llama_cpp_serves_what_was_trained_and_not_the_base(run: Path, llama: Any, tmp_path: Path) -> None:
    program = pytest.importorskip("llama_cpp", reason="the program that runs the files is not installed")
    import tunesmith
    from tunesmith_library_gguf.models import model_of
    from tunesmith_library_gguf.writing import write_model

    options = {"n_ctx": 256, "verbose": False, "logits_all": True}
    out = tunesmith.export(run, {"exporter": {"gguf": {"type": "f16"}}}, output_dir=tmp_path / "sea")
    llama.model = program.Llama(str(next(Path(out).glob("*.gguf"))), **options)
    found = verified(run, llama)
    assert found.problems() == [] and found.same_choice == 1 and found.origin == "the run's data", found.described()
    assert any(each.apart for each in found.asked) and {each.answer.strip()[:10] for each in found.asked} == {
        ANSWER[:10]
    }

    base = shutil.copytree(run.parent / "base", tmp_path / "base")
    shutil.copy(Path(out) / "chat_template.jinja", base) if (Path(out) / "chat_template.jinja").is_file() else None
    write_model(tmp_path / "base.gguf", model_of(base, "base"), "f32")
    llama.model = program.Llama(str(tmp_path / "base.gguf"), chat_format="chatml", **options)
    told = "\n".join(verified(run, llama).problems())
    assert "the answers: " in told and "the weights: " in told


def test_two_runs(run: Path, tmp_path: Path) -> None:
    """A run beside its copy with one tensor changed, and beside its own export."""
    from safetensors.torch import load_file, save_file
    from tunesmith_command_diff.comparing import compared

    other = Path(shutil.copytree(run, tmp_path / "other"))
    file = other / "adapter_model.safetensors"
    weights = load_file(file)
    changed = sorted(name for name in weights if "lora_B" in name)[0]
    save_file({**weights, changed: weights[changed] + 1}, file, {"format": "pt"})
    parts = {part.name: part for part in compared(str(run), str(other)).parts}
    assert [name for name, part in parts.items() if part.equal is False] == ["tensors", "outputs"]
    assert parts["outputs"].facts["origin"] == "the run's data" and parts["outputs"].facts["same_choice"] < 1

    import tunesmith

    merged = tunesmith.export(run, {"exporter": "merged"}, output_dir=tmp_path / "merged")
    parts = {part.name: part for part in compared(str(run), str(merged)).parts}
    assert parts["tensors"].equal and parts["template"].equal and parts["tokenizer"].equal, parts
    assert parts["tensors"].facts["only_a"] == parts["tensors"].facts["only_b"] == [], "a run is merged for it"
    assert parts["outputs"].facts["same_choice"] == 1 and parts["outputs"].facts["largest"] < 1e-3
