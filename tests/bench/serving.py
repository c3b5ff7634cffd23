"""How fast a model is served: 1, 4, 16 and 64 clients at once, beside `transformers.generate` on the same prompts.

A Llama of 4 layers of 256 with V = 32,000 and random weights in fp32; every client asks for one streamed greedy answer
of 64 tokens to a prompt of its own. `generate` takes the prompts of all clients as one batch, padded. Server, clients
and `generate` are processes of their own with one thread each; they are measured in turns, `ROUNDS` times, and the
medians are shown. CPU-seconds are the server's alone.

`TUNESMITH_LLAMAFACTORY` may name the Python of an environment with LLaMA-Factory (see `against_llamafactory.py`): its
API is measured in the same turns.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from inputs import instructions, tokenizer_folder
from tunesmith_library_testing.wire import Broken, ask, request, sent

CLIENTS = tuple(map(int, os.environ.get("CLIENTS", "1 4 16 64").split()))
ROUNDS, TOKENS, PROMPT = int(os.environ.get("ROUNDS", "5")), 64, 400  # PROMPT: characters, at most
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_TEMPLATE = "{% for message in messages %}[INST] {{ message.content }} [/INST]{% endfor %}"


def prepare(scratch: Path) -> None:
    """The model, and one prompt for each client."""
    from transformers import AutoTokenizer
    from tunesmith_library_testing.tiny import save_tiny_model

    folder, _ = tokenizer_folder("llama2", scratch / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token, tokenizer.chat_template = tokenizer.eos_token, _TEMPLATE
    save_tiny_model(scratch / "model", hidden_size=256, layers=4, tokenizer=tokenizer)
    rows = [row["instruction"] + "\n" + row["input"] + row["output"] for row in instructions(max(CLIENTS))]
    (scratch / "prompts.json").write_text(json.dumps([row[: PROMPT - 3 * index] for index, row in enumerate(rows)]))


def generate(scratch: Path) -> None:
    """Answer batches: for each number of prompts on a line of the input, print the seconds that they took."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(scratch / "model", padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(scratch / "model", dtype="float32").eval()
    prompts = json.loads((scratch / "prompts.json").read_text())
    print("ready", flush=True)
    for turn, line in enumerate(sys.stdin):
        texts = [f"[INST] {turn} {prompt} [/INST]" for prompt in prompts[: int(line)]]
        before, start = time.process_time(), time.perf_counter()
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        found = model.generate(**batch, do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS)
        tokenizer.batch_decode(found[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
        print(json.dumps([time.perf_counter() - start, time.process_time() - before]), flush=True)


async def _client(port: int, prompt: str) -> dict[str, float]:
    """One streamed answer: seconds to its first text and to its end, and how many tokens the server counted."""
    talk = [{"role": "user", "content": prompt}]
    body = {"model": "tiny", "messages": talk, "max_tokens": TOKENS, "temperature": 0, "stream": True}
    data = request("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    start, first, last = time.perf_counter(), 0.0, ""
    tokens = 0
    async with sent(port, data, patience=300) as response:
        if response.status != 200:
            sys.exit(f"{response.status}: {(await response.body())[:500]!r}")
        async for event in response.events():
            if not first:
                choices = json.loads(event)["choices"]
                if choices and choices[0]["delta"].get("content"):
                    first = time.perf_counter() - start
            if '"usage":{' in event or '"usage": {' in event:
                tokens = json.loads(event)["usage"]["completion_tokens"]
            last = event
    assert last == "[DONE]", last
    # a server that does not count is one that has no end tokens to write with these weights
    return {"first": first, "all": time.perf_counter() - start, "tokens": tokens or TOKENS}


def clients(port: int, scratch: Path) -> None:
    """Be so many clients at once as a line of the input says, and print what each of them saw."""
    prompts = json.loads((scratch / "prompts.json").read_text())

    async def together(turn: int, count: int) -> tuple[float, list[dict[str, float]]]:
        # a prompt comes once: a server may keep what it has computed of those before
        start = time.perf_counter()
        found = await asyncio.gather(*(_client(port, f"{turn} {prompt}") for prompt in prompts[:count]))
        return time.perf_counter() - start, found

    print("ready", flush=True)
    for turn, line in enumerate(sys.stdin):
        print(json.dumps(asyncio.run(together(turn, int(line)))), flush=True)


class Worker:
    """This file in another process, which answers lines with lines."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, __file__, *words]
        environment = {**os.environ, **ONE_THREAD}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return line if line else sys.exit(f"{self.process.args}: ended")

    def ask(self, count: int) -> Any:
        assert self.process.stdin
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Server:
    """A server in another process, and the clients that ask it."""

    def __init__(
        self, command: Sequence[str], scratch: Path, port: int, most: int = max(CLIENTS), **environment: str
    ) -> None:
        """
        Args:
            most: clients at once that it is tried with.
        """
        self.most = most
        self.log = scratch / f"server-{port}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **ONE_THREAD, **environment}
            )
        deadline = time.monotonic() + 300
        while not asyncio.run(_answers(port)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(self.log.read_text(errors="replace")[-3000:])
            time.sleep(0.5)
        self.clients = Worker("clients", str(scratch), str(port))

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, count: int) -> dict[str, Any]:
        """So many clients at once: seconds until the last is done, CPU-seconds, tokens, and the times to first text."""
        before = self.cpu_seconds()
        seconds, found = self.clients.ask(count)
        tokens = sum(each["tokens"] for each in found)
        first = [each["first"] for each in found]
        return {"seconds": seconds, "cpu": self.cpu_seconds() - before, "tokens": tokens, "first": first}

    def end(self) -> None:
        self.clients.end()
        self.process.kill()
        self.process.wait()


async def _answers(port: int) -> bool:
    try:
        return (await ask(port, "/v1/models")).status == 200
    except (OSError, Broken, TimeoutError):
        return False


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def servers(scratch: Path) -> dict[str, Server]:
    """Ours, and LLaMA-Factory's where there is one."""
    port, model = free_port(), str(scratch / "model")
    words = [f"model.path={model}", "template=auto", "precision=fp32", f"engine.batch_size={max(CLIENTS)}"]
    command = [sys.executable, "-m", "tunesmith", "api", *words, "--port", str(port), "--model-name", "tiny"]
    found = {"`tunesmith api`": Server(command, scratch, port)}
    if python := os.environ.get("TUNESMITH_LLAMAFACTORY"):
        port = free_port()
        told = {"model_name_or_path": model, "template": "llama2", "infer_backend": "huggingface", "do_sample": False}
        told |= {"infer_dtype": "float32"}
        # it answers one request at a time, so that more clients only wait longer
        file = scratch / "llamafactory.yaml"
        file.write_text(json.dumps(told))
        command = [python, "-m", "llamafactory.cli", "api", str(file)]
        environment = {"API_PORT": str(port), "API_HOST": "127.0.0.1", "DISABLE_VERSION_CHECK": "1"}
        found["LLaMA-Factory's API"] = Server(command, scratch, port, 16, CUDA_VISIBLE_DEVICES="", **environment)
    return found


def report(label: str, measured: dict[int, list[dict[str, Any]]], static: dict[int, float]) -> None:
    """A line for each number of clients."""
    one = median(each["seconds"] for each in measured[CLIENTS[0]])
    for count, rounds in ((count, rounds) for count, rounds in measured.items() if rounds):
        seconds = median(each["seconds"] for each in rounds)
        speed = median(each["tokens"] / each["seconds"] for each in rounds)
        cpu = median(1000 * each["cpu"] / each["tokens"] for each in rounds)
        first = [1000 * value for each in rounds for value in each["first"]]
        late = quantiles(first, n=100)[98] if len(first) > 1 else first[0]
        cells = [f"{speed:,.0f}", f"{speed / static[count]:.2f}", f"{seconds / one:.2f}"]
        cells += [f"{median(first):,.0f}", f"{late:,.0f}", f"{cpu:.2f}"]
        print(f"| {label} | {count} | " + " | ".join(cells) + " |")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prepare(scratch)
        print(f"serving: Llama of 4 × 256, V = 32,000, fp32, answers of {TOKENS} tokens, {ROUNDS} rounds")
        found, batch = servers(scratch), Worker("generate", str(scratch))
        measured: dict[str, dict[int, list[Any]]] = {label: {count: [] for count in CLIENTS} for label in found}
        taken: dict[int, list[list[float]]] = {count: [] for count in CLIENTS}
        try:
            for asked in [batch, *found.values()]:  # what is done once is not measured
                asked.ask(2) if isinstance(asked, Worker) else asked.measure(2)
            for _ in range(ROUNDS):
                for count in CLIENTS:
                    for label, server in found.items():
                        if count <= server.most:
                            measured[label][count].append(server.measure(count))
                            told = measured[label][count][-1]
                            print(f"{label}, {count}: {told['seconds']:.2f} s", file=sys.stderr)
                    taken[count].append(batch.ask(count))
                    print(f"generate, {count}: {taken[count][-1][0]:.2f} s", file=sys.stderr)
        finally:
            for each in [batch, *found.values()]:
                each.end()
        static = {count: median(count * TOKENS / seconds for seconds, _ in times) for count, times in taken.items()}
        print(
            "| | clients | tokens/s | of `generate` | × the time of one | first text, ms | 99th of 100 | CPU-s/1,000 |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for label, by_count in measured.items():
            report(label, by_count, static)
        for count, times in taken.items():
            cpu = median(1000 * used / (count * TOKENS) for _, used in times)
            one = median(seconds for seconds, _ in taken[CLIENTS[0]])
            times_one = median(seconds for seconds, _ in times) / one
            print(f"| `generate` | {count} | {static[count]:,.0f} | 1.00 | {times_one:.2f} | | | {cpu:.2f} |")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "generate":
        generate(Path(sys.argv[2]))
    else:
        clients(int(sys.argv[3]), Path(sys.argv[2]))
