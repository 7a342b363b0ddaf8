"""VeRL and vLLM, asked in environments of their own: the tests' own has VeRL's files and not what they import, and no vLLM."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
ENVIRONMENT = REPOSITORY / ".venv-verl"
NEEDS = ("ray", "tensordict")
RECORDED = Path(__file__).with_name("vllm.json")  # vLLM is too large for a test environment: what it said, once


def verl_python() -> str:
    """The Python that can import all of VeRL; skips the test where there is none, and fails it where there must be one."""
    if all(importlib.util.find_spec(name) for name in NEEDS):
        return sys.executable
    if (ENVIRONMENT / "bin" / "python").is_file():
        return str(ENVIRONMENT / "bin" / "python")
    missing = f"nothing here can import VeRL; `make {ENVIRONMENT.name}` makes what can"
    if os.environ.get("LETHE_REQUIRE_VERL"):
        pytest.fail(missing)
    pytest.skip(missing)


def ask_verl(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, str] | None]:
    """VeRL's answer to each question, as `ask_verl.py` describes them."""
    return _run(verl_python(), "ask_verl.py", questions)


def ask_vllm(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, str] | None]:
    """vLLM's answer to each question, as `ask_vllm.py` describes them: asked where LETHE_VLLM_PYTHON is a Python that can
    import it, and else as it was recorded there. With LETHE_GOLDEN=write what is asked is recorded."""
    recorded: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    keys = [json.dumps(question, sort_keys=True) for question in questions]
    if python := os.environ.get("LETHE_VLLM_PYTHON"):
        found = dict(zip(keys, _run(python, "ask_vllm.py", questions), strict=True))
        if os.environ.get("LETHE_GOLDEN") == "write":
            text = json.dumps({**recorded, "answers": found}, indent=1, sort_keys=True, ensure_ascii=False)
            RECORDED.write_text(text + "\n", encoding="utf-8")
        assert found == recorded["answers"] or os.environ.get("LETHE_GOLDEN") == "write", "LETHE_GOLDEN=write records it again"
        return [found[key] for key in keys]
    return [recorded["answers"][key] for key in keys]


def _run(python: str, script: str, questions: Sequence[Mapping[str, Any]]) -> list[dict[str, str] | None]:
    done = subprocess.run(
        [python, str(Path(__file__).with_name(script))], input=json.dumps(questions), capture_output=True, text=True,
        check=False, env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    answers: list[dict[str, str] | None] = json.loads(done.stdout)
    assert len(answers) == len(questions)
    return answers
