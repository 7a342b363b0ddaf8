"""Job `evaluate` of a divergence: how far a model has moved from its start, on prompts of what it was trained on.

Forward is KL(start || model), along answers of the start: E_{x ~ task} KL(pi_0 || pi), the quantity that forgetting was found
to follow (Shenfeld et al. 2025, arXiv 2509.04259). Reverse is KL(model || start), along answers of the model. Both are of the
models' own distributions, at temperature 1 and without a nucleus. Prompts are evaluation rows: none of them was trained on.

Writes `scores.json` with both, a task each, per answer and per token, and `items.jsonl`:
`{"task", "id", "direction", "sample", "kl", "tokens", "finished"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.data.rows import read_split, write_rows
from runtime.divergence.along import Answer, along
from runtime.errors import JobError
from runtime.job import Job, write_json
from runtime.models import hardware, load_model, load_tokenizer
from runtime.prompts import prompt_form, prompt_hash, render_prompt
from runtime.sampling import Decoding, item_seed

MODEL, START = "model", "start"
DIRECTIONS: Mapping[str, tuple[str, str]] = {"forward": (START, MODEL), "reverse": (MODEL, START)}  # who samples, from whom
KINDS = ("kl",)


@dataclass(frozen=True)
class _Sides:
    """Both models, by the names of the job's inputs, and the tokenizer that they share."""

    models: Mapping[str, Any]
    tokenizer: Any


def run(job: Job) -> Mapping[str, Any]:
    """Write scores.json and items.jsonl; the facts are both divergences an answer, by domain."""
    config = job.config
    if config["divergence"] not in KINDS:
        raise JobError(f"{job.id}: there is no divergence {config['divergence']!r}; this runtime has {', '.join(KINDS)}")
    rows = {domain: _rows(job, domain) for domain in config["domains"]}
    sides = _Sides({name: load_model(job.inputs[name].path) for name in (MODEL, START)}, _tokenizer(job, rows))
    tasks: dict[str, dict[str, Any]] = {}
    items: list[dict[str, Any]] = []
    for domain, asked in rows.items():
        tasks[domain] = {"n": len(asked), "prompt_hash": prompt_hash(_prompts(asked, sides.tokenizer))}
        for direction in DIRECTIONS:
            found = _measured(job, sides, domain, direction, asked)
            tasks[domain][direction] = _sum_up(found)
            items += found
            job.progress(len(items), _answers(config) * 2, **{direction: tasks[domain][direction]["per_answer"]})
    write_rows(job.out / "items.jsonl", items)
    write_json(job.out / "scores.json", {**_circumstances(job, sides), "tasks": tasks})
    return {f"{name} {direction}": score[direction]["per_answer"] for name, score in tasks.items() for direction in DIRECTIONS}


def _answers(config: Mapping[str, Any]) -> int:
    return int(config["prompts"] * config["samples"] * len(config["domains"]))


def _circumstances(job: Job, sides: _Sides) -> dict[str, Any]:
    dtypes = [str(sides.models[name].dtype).removeprefix("torch.") for name in (MODEL, START)]
    return {
        "suite": job.config["suite"],
        "version": job.config["version"],
        "divergence": job.config["divergence"],
        "model_fingerprint": job.inputs[MODEL].fingerprint,
        "prompt_form": prompt_form(sides.tokenizer),
        "start_fingerprint": job.inputs[START].fingerprint,
        "dtype": ", ".join(dict.fromkeys(dtypes)),
        "hardware": hardware(),
    }


def _rows(job: Job, domain: str) -> list[dict[str, Any]]:
    """A domain's first `prompts` evaluation rows."""
    if domain not in job.inputs:
        raise JobError(f"{job.id}: domain {domain!r} has no input of its name; there are {sorted(job.inputs)}")
    wanted = job.config["prompts"]
    rows = read_split(job.inputs[domain].path, "eval")[:wanted]
    if len(rows) < wanted:
        raise JobError(f"{job.id}: wants {wanted} prompts of {domain!r}, its evaluation rows are {len(rows)}; ask for fewer")
    return rows


def _tokenizer(job: Job, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    """The tokenizer of both. Raises JobError where they read or are asked differently."""
    own, start = (load_tokenizer(job.inputs[name].path) for name in (MODEL, START))
    if own.get_vocab() != start.get_vocab():
        raise JobError(f"{job.id}: the model and its start do not have the same vocabulary: no divergence can be told")
    if any(_prompts(asked, own) != _prompts(asked, start) for asked in rows.values()):
        raise JobError(f"{job.id}: the model and its start are asked in different forms: no divergence can be told")
    return own


def _prompts(rows: Sequence[Mapping[str, Any]], tokenizer: Any) -> list[str]:
    return [render_prompt(row["prompt"], tokenizer) for row in rows]


def _measured(job: Job, sides: _Sides, domain: str, direction: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One direction on one domain: `samples` answers to each row, row after row."""
    config, copies = job.config, range(job.config["samples"])
    sampler, other = (sides.models[name] for name in DIRECTIONS[direction])
    prompts = [prompt for prompt in _prompts(rows, sides.tokenizer) for _ in copies]
    places = [(row["id"], copy) for row in rows for copy in copies]
    seeds = [item_seed(config["seed"], direction, domain, *place) for place in places]
    decoding = Decoding(config["max_new_tokens"], temperature=1.0, top_p=1.0, batch=config["batch"])
    answers = along(sampler, other, sides.tokenizer, prompts, seeds, decoding)
    return [_item(domain, direction, place, answer) for place, answer in zip(places, answers, strict=True)]


def _item(domain: str, direction: str, place: tuple[Any, int], answer: Answer) -> dict[str, Any]:
    named = {"task": domain, "id": place[0], "direction": direction, "sample": place[1]}
    return {**named, "kl": answer.kl, "tokens": answer.tokens, "finished": answer.finished}


def _sum_up(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over answers, and over tokens; in nats."""
    total, tokens = sum(item["kl"] for item in items), sum(item["tokens"] for item in items)
    return {
        "answers": len(items),
        "tokens": tokens,
        "finished": sum(item["finished"] for item in items),
        "per_answer": total / len(items),
        "per_token": total / tokens,
    }
