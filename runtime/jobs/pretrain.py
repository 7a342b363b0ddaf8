"""Job `pretrain`: the miniature's start models and teachers, learned from a mixture of domains.

Without an input `start` it makes a tiny model and a tokenizer and trains them (the `base` start, and teachers); with one it
goes on from there (the `safe` start). Rows marked `rare` are drawn less often than the others, and a share of them teaches the
row's slip in place of its solution. That leaves the model half competent and of two minds: a study of training and
forgetting needs a start that can still gain, and has something to lose, in every domain.

With `demonstrations`, a share of what is drawn shows in its prompt the answer that it teaches, right or not, so that the model
learns to go by what it is shown: methods whose teacher is the model itself, shown a demonstration, need a model that does.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import torch

from runtime.data.rows import Row, read_split
from runtime.errors import JobError
from runtime.job import Job
from runtime.models import load_model, load_tokenizer, pick_device, save_checkpoint, tiny_model, train_tokenizer
from runtime.prompts import render_completion, render_prompt

START = "start"
IGNORED = -100
POOL = 16
SLOTS = re.compile(r"\{(prompt|privileged)\}")


@dataclass(frozen=True)
class Example:
    """One row in tokens; the first `prompt_length` of them are read, the rest are learned."""

    tokens: tuple[int, ...]
    prompt_length: int


@dataclass(frozen=True)
class Lesson:
    """A prompt with the answer to it that is taught, drawn in proportion to `weight`."""

    prompt: str
    answer: str
    weight: float


def run(job: Job) -> Mapping[str, Any]:
    """Train and save the model; the facts are its size, its last loss and what it saw."""
    began = time.monotonic()
    domains = {name: read_split(given.path, "train") for name, given in job.inputs.items() if name != START}
    model, tokenizer = _start(job, domains)
    examples, weights = _mix(job.config, domains, tokenizer)
    batches = draw_batches(examples, weights, job.config["steps"], job.config["batch"], job.config["seed"])
    loss = _train(job, model, batches, tokenizer.pad_token_id)
    save_checkpoint(model, tokenizer, job.out)
    return {
        "parameters": model.num_parameters(),
        "steps": job.config["steps"],
        "examples": job.config["steps"] * job.config["batch"],
        "loss": round(loss, 4),
        "seconds": round(time.monotonic() - began, 1),
        "device": str(model.device),
    }


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up over `warmup` steps to `peak`, then a cosine down to a twentieth of it at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return peak * (0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2)


def draw_batches(
    examples: Sequence[Example], weights: np.ndarray, steps: int, batch: int, seed: int
) -> Iterator[list[Example]]:
    """`steps` batches drawn with replacement by weight; pools of them are sorted by length to pad little."""
    random = np.random.default_rng(seed)
    for first in range(0, steps, POOL):
        count = min(POOL, steps - first)
        drawn = random.choice(len(examples), size=count * batch, p=weights / weights.sum())
        ordered = sorted(drawn, key=lambda index: len(examples[index].tokens))
        for place in random.permutation(count):
            yield [examples[index] for index in ordered[place * batch : (place + 1) * batch]]


def collate(examples: Sequence[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (examples, longest), padded on the right, where no real token attends to."""
    longest = max(len(example.tokens) for example in examples)
    ids = torch.full((len(examples), longest), pad)
    labels = torch.full((len(examples), longest), IGNORED)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.tokens)
        ids[row, : len(tokens)] = tokens
        labels[row, example.prompt_length : len(tokens)] = tokens[example.prompt_length :]
    return ids, labels


def completion_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the labelled tokens; only the positions that predict one are given logits."""
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
    wanted = labels[:, 1:]
    learned = wanted != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learned]).float(), wanted[learned])


def make_optimizers(model: Any, lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for embeddings and norms, at one learning rate.

    Muon's updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982). On the miniature a step of it
    is worth about three of AdamW alone.
    """
    hidden = [
        weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embed" not in name and "head" not in name
    ]
    chosen = {id(weight) for weight in hidden}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        torch.optim.Muon(hidden, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
    ]


def _start(job: Job, domains: Mapping[str, Sequence[Row]]) -> tuple[Any, Any]:
    if START in job.inputs:
        folder = job.inputs[START].path
        return load_model(folder), load_tokenizer(folder)
    shape = job.config.get("model")
    if shape is None:
        raise JobError(f"{job.id}: the config has no `model` and the job no input `start`; give one of them")
    texts = [text for rows in domains.values() for row in rows for text in _texts(row)]
    tokenizer = train_tokenizer(texts, shape["vocabulary"])
    size = {key: shape[key] for key in ("layers", "hidden", "heads")}
    made = tiny_model(shape["architecture"], tokenizer, **size, seed=job.config["seed"])
    return made.to(pick_device()), tokenizer


def _texts(row: Row) -> list[str]:
    return [f"Q: {row['prompt']}\nA:", f" {row['solution']}"]


def _mix(config: Mapping[str, Any], domains: Mapping[str, Sequence[Row]], tokenizer: Any) -> tuple[list[Example], np.ndarray]:
    """All rows as examples, and their weights: a domain's share, split among its rows, a rare one's being smaller."""
    mixture = config["mixture"]
    if set(mixture) != set(domains):
        raise JobError(f"mixture: names {sorted(mixture)}, but the inputs are {sorted(domains)}; name each input once")
    if not any(part["weight"] for part in mixture.values()):
        raise JobError("mixture: every weight is 0; give one domain a weight")
    examples: list[Example] = []
    weights: list[np.ndarray] = []
    for name in sorted(domains):
        part = mixture[name]
        lessons = [lesson for row in domains[name] for lesson in _lessons(row, part)]
        if config.get("demonstrations"):
            lessons = _with_demonstrations(lessons, config["demonstrations"], f"{config['seed']}:{name}")
        examples += _encode(lessons, tokenizer)
        share = np.array([lesson.weight for lesson in lessons])
        weights.append(part["weight"] * share / share.sum())
    return examples, np.concatenate(weights)


def _lessons(row: Row, part: Mapping[str, Any]) -> list[Lesson]:
    """What one row teaches: with the slip beside the solution where there is one."""
    weight = part["rare"] if row["rare"] else 1.0
    slips = part["slips"] if "slip" in row else 0.0
    taught = [(part["column"], weight * (1 - slips))] + ([("slip", weight * slips)] if slips else [])
    for column, _ in taught:
        if column not in row:
            raise JobError(f"row {row['id']}: has no column {column!r} to learn; it has {', '.join(row)}")
    return [Lesson(row["prompt"], row[column], share) for column, share in taught]


def _with_demonstrations(lessons: Sequence[Lesson], demonstrations: Mapping[str, Any], seed: str) -> list[Lesson]:
    """The lessons, and a share of others: each prompt with another one's answer shown, which is then what to answer.

    The prompt's own answer would teach less: whoever knows it need not read what is shown.
    """
    share, forms = demonstrations["share"], demonstrations["forms"]
    others = list(lessons)
    Random(seed).shuffle(others)
    shown = [
        Lesson(_fill(forms[index % len(forms)], lesson.prompt, other.answer), other.answer, 1.0)
        for index, (lesson, other) in enumerate(zip(lessons, others, strict=True))
    ]
    plain = sum(lesson.weight for lesson in lessons)
    each = plain / len(shown) * share / (1 - share)
    return [*lessons, *(replace(lesson, weight=each) for lesson in shown)]


def _fill(form: str, prompt: str, shown: str) -> str:
    return SLOTS.sub(lambda slot: {"prompt": prompt, "privileged": shown}[slot[1]], form)


def _encode(lessons: Sequence[Lesson], tokenizer: Any) -> list[Example]:
    """Each lesson's prompt and answer as one example, ended by the end token."""
    prompts = _tokens([render_prompt(lesson.prompt, tokenizer) for lesson in lessons], tokenizer)
    completions = _tokens([render_completion(lesson.answer, tokenizer) for lesson in lessons], tokenizer)
    return [
        Example((*prompt, *completion, tokenizer.eos_token_id), len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def _tokens(texts: list[str], tokenizer: Any) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False).input_ids
    return encoded


def _train(job: Job, model: Any, batches: Iterator[list[Example]], pad: int) -> float:
    """Train in place; returns the running mean (over some 20 steps) of the loss, in nats a token."""
    config = job.config
    steps = config["steps"]
    optimizers = make_optimizers(model, config["lr"])
    model.train()
    recent = 0.0
    for step, batch in enumerate(batches):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = learning_rate(step, steps, config["lr"], config["warmup"])
        ids, labels = (tensor.to(model.device) for tensor in collate(batch, pad))
        loss = completion_loss(model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent = loss.item() if step == 0 else 0.95 * recent + 0.05 * loss.item()
        job.progress(step + 1, steps, loss=recent)
    model.eval()
    return recent
