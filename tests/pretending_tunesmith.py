"""Stands for `tunesmith` where its answers, its slowness and its deaths are to be had at once: `plan` and `api`.

The name of the model says how it behaves: `model.path=slow`, `big`, `wrong`, `dies`, else it answers word by word.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAM = (sys.executable, __file__)
"""What is run in the place of `tunesmith`."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = ""

    def do_GET(self) -> None:
        can = {"answers": True, "media": ["image"], "tools": True, "reasoning": True, "switches_thinking": True}
        about = {"id": self.model, "max_model_len": 2048, "template": "chatml", "capabilities": can}
        self.tell(
            200, {"data": [about, {"id": "base"}]} if self.allowed() else {"error": {"message": "a key is needed"}}
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][-1]["content"]
        if asked == "refuse":
            return self.tell(400, {"error": {"message": "messages are refused"}})
        if not body.get("stream"):
            return self.tell(200, {"choices": [{"message": {"content": json.dumps(asked)}}]})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for number in range(1000 if asked == "long" else 3):
                if asked == "die" and number == 1:
                    os._exit(3)
                chunk = {"choices": [{"index": 0, "delta": {"content": f"word{number} "}}]}
                self.write(f"data: {json.dumps(chunk)}\n\n")
                time.sleep(0.05)
            self.write("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            print("hung up", flush=True)
        self.close_connection = True

    def write(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def allowed(self) -> bool:
        return self.headers["authorization"] == f"Bearer {os.environ['TUNESMITH_API_KEY']}"

    def tell(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def plan(model: str) -> None:
    """Tell what a model takes, as `tunesmith plan --json` does."""
    if model == "wrong":
        sys.exit(f"error: {model}: no such model.\n  did you mean strong?")
    fits = model != "big"
    told = {"problems": [], "peak": {"bytes": 1e9}, "fits": fits, "conclusion": "fits" if fits else "too big"}
    print(json.dumps(told))


def api(model: str) -> None:
    """Serve a model, or come to nothing as it may."""
    if model == "slow":
        print("reading shards: 3 of 9", flush=True)
        time.sleep(60)
    if model == "dies":
        sys.exit("error: CUDA out of memory")
    Handler.model = model
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"serving: {model} (at http://127.0.0.1:{server.server_port}/v1)", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"plan": plan, "api": api}[sys.argv[1]](sys.argv[2].removeprefix("model.path="))
