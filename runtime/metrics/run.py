"""The evaluate job of suites with `metrics`: what is asked becomes items, they are measured together, metrics made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from runtime.data.rows import write_rows
from runtime.errors import JobError
from runtime.job import Job, write_json
from runtime.metrics.encode import Encoder
from runtime.metrics.fluency import load_classifier
from runtime.metrics.graph import Known, Metric, Whose, metrics
from runtime.metrics.items import Item, Values
from runtime.metrics.measure import (
    Measuring,
    Model,
    answers_of,
    from_answers,
    from_gradients,
    from_tokens,
    pick_device,
    prompts_of,
    work,
)
from runtime.metrics.others import check_comparable, read_items, read_scores
from runtime.metrics.sequences import HOLDOUT, draw_prefix, once, roles_of, sequences_of
from runtime.metrics.sets import generation_of, read_sets, splits_of
from runtime.models import hardware, load_model, load_tokenizer
from runtime.prompts import prompt_hash

MODEL = "model"
COMPARED: tuple[Whose, ...] = ("reference", "start")


def run(job: Job) -> Mapping[str, Any]:
    """Write scores.json, items.jsonl and outputs.jsonl; the facts are each metric's value."""
    device = pick_device(job.config["execution"]["device"])
    domain, folder = _rows(job)
    chosen = _chosen(job, folder)
    items = tuple(dict.fromkeys(item for metric in chosen.values() for item in metric.reads))
    tokenizer = load_tokenizer(job.inputs[MODEL].path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoder = Encoder(tokenizer, job.config["question_form"])
    asked = _prepared(Measuring(read_sets(domain, folder, items), items, job.config), encoder)
    asked_hash = prompt_hash(text for split in sorted(_splits(asked)) for text in prompts_of(encoder, asked.sets, split))
    others = _others(job, chosen, asked, asked_hash)
    own, outputs = _measure(job, asked, encoder, device)
    outcomes = {name: _outcome(metric, own, others, asked) for name, metric in chosen.items()}
    shown = {name: score for name, (score, _) in outcomes.items()}
    for _, added in outcomes.values():
        own |= added
    _write(job, own, shown, outputs, asked, asked_hash)
    return {name: score["value"] for name, score in shown.items()}


def _rows(job: Job) -> tuple[str, Path]:
    """The domain that is measured: the one input that is neither a model nor scores."""
    found = [name for name in job.inputs if name not in (MODEL, *COMPARED)]
    if len(found) != 1:
        raise JobError(f"{job.id}: metrics are of one domain's rows, the inputs are {sorted(job.inputs)}; compile again")
    return found[0], job.inputs[found[0]].path


def _chosen(job: Job, folder: Path) -> dict[str, Metric]:
    """The metrics that are asked for, by name. Raises JobError for one that cannot be told from the inputs."""
    known = metrics(splits_of(folder))
    found = {}
    for name in job.config["metrics"]:
        if name not in known:
            raise JobError(f"metrics: this runtime has no {name!r}; it has {', '.join(sorted(known))}")
        found[name] = known[name]
        whose = known[name].compares
        if whose and job.config[whose] == "none":
            raise JobError(
                f"{name} compares with the {whose}'s scores, and the suite has none; let it compare, or leave it out"
            )
        if whose and job.config[whose] == "scores" and whose not in job.inputs:
            raise JobError(f"{name} needs the {whose}'s scores, and the job has no input {whose!r}; compile again")
        if name in ("fluency", "mia_recall") and job.config[name.removeprefix("mia_")] is None:
            raise JobError(f"{name} needs the setting {name.removeprefix('mia_')!r}, which is null; give it")
    return found


def _prepared(asked: Measuring, encoder: Encoder) -> Measuring:
    """With the sequences that are scored, and the prefix of ReCall where it is asked for."""
    for item in asked.made("answers", "fluency"):
        generation_of(item, asked.config)
    recall = Item("mia_recall", HOLDOUT) in asked.items
    prefix = draw_prefix(encoder, asked.sets, asked.config) if recall else None
    longest = asked.config["max_length"]
    found = {
        split: tuple(sequences_of(encoder, asked.sets, split, roles, longest, prefix))
        for split, roles in roles_of(asked.items).items()
    }
    return Measuring(asked.sets, asked.items, asked.config, prefix, found)


def _splits(asked: Measuring) -> set[str]:
    return {item.split for item in asked.items}


def _others(job: Job, chosen: Mapping[str, Metric], asked: Measuring, hashed: str) -> dict[Whose, Mapping[Item, Values]]:
    """The numbers of the models that metrics compare with, where those are inputs."""
    found: dict[Whose, Mapping[Item, Values]] = {}
    for whose in COMPARED:
        wanted = {item for metric in chosen.values() if metric.compares == whose for item in metric.reads}
        if wanted and job.config[whose] == "scores":
            folder = job.inputs[whose].path
            own = {"suite": job.config["suite"], "version": job.config["version"], "prompt_hash": hashed}
            check_comparable(read_scores(folder, whose), whose, **own)
            found[whose] = read_items(folder, whose, wanted, {item.split: asked.sets.ids(item.split) for item in wanted})
    return found


def _measure(
    job: Job, asked: Measuring, encoder: Encoder, device: torch.device
) -> tuple[dict[Item, Values], dict[str, list[str]]]:
    """The numbers of all items, and the answers by split."""
    config, (sequences, answers, gradients) = job.config, work(asked)
    total, batch = sequences + answers + gradients, config["execution"]["batch_size"]
    fluent = load_classifier(config["fluency"], device, batch) if asked.made("fluency") else None
    loaded = load_model(job.inputs[MODEL].path, device).to(getattr(torch, config["dtype"]))
    model = Model(loaded, encoder, batch)
    own = from_tokens(model, asked, lambda done: job.progress(done, total))
    outputs = answers_of(model, asked, lambda done: job.progress(sequences + done, total))
    own |= from_gradients(model, asked, lambda done: job.progress(sequences + answers + done, total))
    return own | from_answers(asked, outputs, fluent), outputs


def _outcome(
    metric: Metric, own: Mapping[Item, Values], others: Mapping[Whose, Mapping[Item, Values]], asked: Measuring
) -> tuple[dict[str, Any], Mapping[Item, Values]]:
    """What scores.json says of a metric, and the items it adds. What cannot be told is null, with the reason."""
    if metric.compares and metric.compares not in others:
        reason = f"it compares with the {metric.compares}, and this model is what others are compared with itself"
        return {"value": None, "n": 0, "reason": reason}, {}
    found = metric.value(Known(own, others[metric.compares] if metric.compares else {}, asked.options))
    shown: dict[str, Any] = {"value": _finite(found.value), "n": found.n}
    if found.parts:
        shown["parts"] = {name: _finite(part) for name, part in found.parts.items()}
    if shown["value"] is None:
        numbers = [number for item in metric.reads for number in own[item].numbers]
        broken = sum(not math.isfinite(number) for number in numbers)
        shown["reason"] = f"it is {found.value}; {broken} of the {len(numbers)} numbers that it is made of are not finite"
    return shown, found.items


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _write(
    job: Job,
    own: Mapping[Item, Values],
    metrics: Mapping[str, Any],
    outputs: Mapping[str, list[str]],
    asked: Measuring,
    hashed: str,
) -> None:
    cut = {split: sum(one.cut for one in once({split: rows})) for split, rows in asked.sequences.items()}
    scores = {
        "suite": job.config["suite"],
        "version": job.config["version"],
        "model_fingerprint": job.inputs[MODEL].fingerprint,
        **{f"{whose}_fingerprint": job.inputs[whose].fingerprint if whose in job.inputs else None for whose in COMPARED},
        "dtype": job.config["dtype"],
        "hardware": hardware(),
        "prompt_hash": hashed,
        "cut": {split: many for split, many in cut.items() if many},
        "metrics": metrics,
    }
    rows = (
        {"metric": item.quantity, "split": item.split, "id": name, "value": _finite(number)}
        for item, values in own.items()
        for name, number in zip(values.ids, values.numbers, strict=True)
    )
    texts = (
        {"split": split, "id": name, "output": text}
        for split, found in outputs.items()
        for name, text in zip(asked.sets.ids(split), found, strict=True)
    )
    write_rows(job.out / "items.jsonl", rows)
    write_rows(job.out / "outputs.jsonl", texts)
    write_json(job.out / "scores.json", scores)
