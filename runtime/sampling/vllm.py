"""Sampling with vLLM: a server of the checkpoint beside the job, asked for one completion a prompt.

The prompts go as tokens, so that a model is asked exactly what this runtime's own sampler asks. Each has a seed of its own, and
so its answer depends on no neighbour (up to rounding in the logits, which depends on the batch).
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import JobError
from runtime.launch import child, ports, server

if TYPE_CHECKING:
    from runtime.sampling import Decoding, OnBatch, Sample

PATIENCE = 1800.0  # seconds for loading and compiling; large models from a slow disk take ten minutes
GRACE = 60.0
AT_ONCE = 256  # requests under way; vLLM batches what it has
ANSWER = 3600.0  # seconds for one completion
LAST_BREATH = 2.0  # seconds in which a server that broke off may end
NAME = "model"
LOG = "vllm.log"


class RefusedError(JobError):
    """The server is up and does not answer this request, such as one that is too long for it."""


@dataclass(frozen=True)
class Server:
    """A vLLM server that is up."""

    process: child.Process
    address: str
    log: Path
    options: Mapping[str, Any]

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding, on_batch: OnBatch
    ) -> list[Sample]:
        """One answer to each prompt (tokens), in order, or why it was refused; `on_batch` is told each. Raises JobError."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [pool.submit(self._one, prompt, seed, decoding) for prompt, seed in zip(prompts, seeds, strict=True)]
            try:
                return [_told(future, place, on_batch) for place, future in enumerate(asked)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, prompt: Sequence[int], seed: int, decoding: Decoding) -> Sample:
        from runtime.sampling import Sample

        wanted = {"max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature, "top_p": decoding.top_p}
        body = {"model": NAME, "prompt": list(prompt), "seed": seed, **wanted, **self.options}
        try:
            choice = self._post("/v1/completions", body)["choices"][0]
        except RefusedError as error:
            return Sample(text="", finished=False, failed=str(error))
        return Sample(text=choice["text"].strip(), finished=choice["finish_reason"] == "stop")

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), headers)
        try:
            with server.DIRECT.open(request, timeout=ANSWER) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            kind = RefusedError if error.code < 500 else JobError
            raise kind(f"vLLM refuses a request ({error.code}): {error.read().decode(errors='replace')[:500]}") from error
        except (OSError, http.client.HTTPException) as error:  # also one that broke off in the middle of its answer
            server.check_alive(self.process, self.log, LAST_BREATH)
            raise JobError(f"vLLM does not answer ({error}); see {self.log}") from error


@contextmanager
def serve(model: Path, config: Mapping[str, Any], out: Path) -> Iterator[Server]:
    """A server of the checkpoint in `model`, as a job's config wants it, for as long as one is inside."""
    port, options = ports.first(), config.get("options") or {}
    address, log = f"http://127.0.0.1:{port}", out / LOG
    command = command_of(model, port, config["execution"], options.get("engine") or {})
    with server.serving(command, f"{address}/health", log, patience=PATIENCE, grace=GRACE) as process:
        yield Server(process, address, log, options.get("sampling") or {})


def command_of(model: Path, port: int, execution: Mapping[str, Any], engine: Mapping[str, Any]) -> list[str]:
    """The command line of the server; `engine` are further options of vLLM's engine by its own names."""
    wanted = {
        "host": "127.0.0.1", "port": port, "served_model_name": NAME, "tensor_parallel_size": execution["tensor_parallel"],
        "gpu_memory_utilization": execution["gpu_memory_utilization"], "max_model_len": execution["max_model_len"],
    }  # fmt: skip
    given = {name: value for name, value in {**wanted, **engine}.items() if value is not None}
    return ["vllm", "serve", str(model), *(word for name, value in given.items() for word in _words(name, value))]


def _words(name: str, value: Any) -> list[str]:
    """One option as vLLM's parser reads it."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return [f"--{option}", json.dumps(value) if isinstance(value, Mapping | list) else str(value)]


def _told(future: Future[Sample], place: int, on_batch: OnBatch) -> Sample:
    found = future.result()
    on_batch({place: found})
    return found
