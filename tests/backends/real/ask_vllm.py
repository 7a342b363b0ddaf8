"""What vLLM itself says of options of its engine and of its sampling: a script for an environment that can import vLLM.

    python ask_vllm.py < QUESTIONS > ANSWERS

A question is `{"engine": {...}, "sampling": {...}}`, an answer as in ask_verl.py. The checks are those that need no GPU: the
fields of EngineArgs, the choices of its command line, its checked parts of the configuration, and SamplingParams.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any


def engine(given: Mapping[str, Any]) -> None:
    """EngineArgs takes any value of a field it has; vLLM's configuration classes look at the values."""
    from vllm.config import CacheConfig, LoadConfig, ParallelConfig, SchedulerConfig
    from vllm.engine.arg_utils import EngineArgs

    EngineArgs(**given)
    for part in (CacheConfig, LoadConfig, ParallelConfig):
        own = {field.name for field in fields(part)}
        names = {name: _PARTS.get(name, name) for name in given}
        part(**{names[name]: value for name, value in given.items() if names[name] in own})
    if "max_num_seqs" in given:
        SchedulerConfig(max_model_len=1024, is_encoder_decoder=False, max_num_seqs=given["max_num_seqs"])


_PARTS = {"kv_cache_dtype": "cache_dtype"}


def choices(given: Mapping[str, Any]) -> None:
    """vLLM's own command line, which knows the choices and types of its options."""
    from vllm import platforms
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms.cpu import CpuPlatform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    platforms.current_platform = CpuPlatform()  # or vLLM looks for a GPU before it knows its own options
    parser = EngineArgs.add_cli_args(FlexibleArgumentParser(exit_on_error=False))
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    try:
        parser.parse_args(words)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    except SystemExit as error:
        raise ValueError("the command line is refused") from error


def sampling(given: Mapping[str, Any]) -> None:
    """What every request is checked for."""
    from vllm import SamplingParams

    SamplingParams(**given)


def answer(question: Mapping[str, Any]) -> dict[str, str] | None:
    """Which check refuses the options, and how; None when none does."""
    own = question.get("engine", {})
    checks: list[tuple[str, Callable[[], None]]] = [
        ("EngineArgs", lambda: engine(own)),
        ("command line", lambda: choices(own)),
        ("SamplingParams", lambda: sampling(question.get("sampling", {}))),
    ]
    for name, check in checks:
        try:
            check()
        except ImportError:  # says nothing of the options
            raise
        except Exception as error:  # whatever it is, it ends the job
            return {"by": name, "says": f"{type(error).__name__}: {str(error).strip()}"}
    return None


def main() -> None:
    questions = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # vLLM logs
    print(
        json.dumps([answer(question) for question in questions]), file=out, flush=True
    )  # a package may end the process without that


if __name__ == "__main__":
    main()
