"""What the tests start as `vllm`: `serve MODEL --option value …`, an HTTP server with vLLM's addresses and no model.

FAKE_VLLM says how it behaves: good, dies (at once), deaf (never healthy), stubborn (a child and itself ignore SIGTERM), breaks
(ends at its third answer), refuses (every request), or picky (refuses some). Its state folder gets its command line and every
request.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = os.environ.get("FAKE_VLLM", "good")
STATE = pathlib.Path(os.environ["STATE"])
OPTIONS = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=False))


class Answers(BaseHTTPRequestHandler):
    """/health, and /v1/completions with an answer that is the seed of the request."""

    def do_GET(self) -> None:
        self.reply(503 if MODE == "deaf" else 200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with (STATE / "requests.jsonl").open("a") as file:
            file.write(json.dumps(body) + "\n")
        if MODE == "breaks" and len((STATE / "requests.jsonl").read_text().splitlines()) > 2:
            print("CUDA out of memory", flush=True)
            os._exit(9)
        if MODE == "refuses" or (MODE == "picky" and body["seed"] % 3 == 0):
            self.reply(400, {"error": {"message": "this model's maximum context length is 16 tokens"}})
            return
        finish = "length" if body["seed"] % 2 else "stop"
        self.reply(200, {"choices": [{"text": f" {body['seed'] % 7} ", "finish_reason": finish}]})

    def reply(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    (STATE / "command.json").write_text(json.dumps(sys.argv[1:]))
    (STATE / "pid").write_text(str(os.getpid()))
    print("loading the model", flush=True)
    if MODE == "dies":
        print("ValueError: no such model", flush=True)
        sys.exit(4)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        engine = subprocess.Popen(
            [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"]
        )
        (STATE / "engine").write_text(str(engine.pid))
    elif MODE == "slow":
        time.sleep(1)
    ThreadingHTTPServer.request_queue_size = 128  # as many connect at once
    ThreadingHTTPServer((OPTIONS["--host"], int(OPTIONS["--port"])), Answers).serve_forever()


main()
