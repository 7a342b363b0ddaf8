"""TOFU (arXiv 2401.06121): 4,000 questions on 200 made-up authors, 20 each.

Its configurations are its splits: `full`, `forgetNN`, `retainNN`, `holdoutNN`, and four kinds of `…_perturbed`, which have
wrong answers beside the right one, and the authors' also a re-worded right one. Each has one split, called `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.benchmarks.hub import Published, read_published, text_of, texts_of
from runtime.benchmarks.sets import Sets, check_count, content_id, question
from runtime.errors import JobError

ONLY = "train"
PLAIN = ("question", "answer")
WITHOUT_REWORDED = ("real_authors_perturbed", "world_facts_perturbed")


def make_sets(config: Mapping[str, Any]) -> Sets:
    """The rows that a training sees, those to retain, and those that metrics read, as the config names them."""
    of, asked = Published(config["hub"], config["revision"]), config["question"]
    train = _questions(of, config["split"])
    check_count(f"{of.hub} {config['split']}", train, "train", config["train"])
    retain = None if config["retain"] is None else _questions(of, config["retain"])
    evaluation = {_set_of(name): _perturbed(of, name, asked) for name in config["perturbed"]}
    if len(evaluation) < len(config["perturbed"]):
        raise JobError(f"perturbed: {', '.join(config['perturbed'])} name one set twice; leave one of them out")
    if config["holdout"] is not None:
        evaluation["holdout"] = [_evaluated(row) for row in _questions(of, config["holdout"])]
    return Sets(train, retain, evaluation)


def _questions(of: Published, config: str) -> list[dict[str, Any]]:
    """A configuration's questions and answers, as they are trained on; it has them in one wording only."""
    where = f"{of.hub} {config}"
    return [question(*_content(row, where)) for row in read_published(of, config, ONLY, PLAIN)]


def _perturbed(of: Published, config: str, asked: str) -> list[dict[str, Any]]:
    """A configuration with wrong answers. Only those of the authors have questions and answers in other words."""
    reworded = config not in WITHOUT_REWORDED
    where = f"{of.hub} {config}"
    column = asked if reworded else "question"
    extra = ("paraphrased_answer",) if reworded else ()
    rows = read_published(of, config, ONLY, tuple(dict.fromkeys((*PLAIN, column, "perturbed_answer", *extra))))
    return [
        {
            "id": content_id(*_content(row, where)),
            "prompt": text_of(row, column, where),
            "answer": text_of(row, "answer", where),
            "paraphrased": text_of(row, "paraphrased_answer", where) if reworded else None,
            "perturbed": texts_of(row, "perturbed_answer", where),
        }
        for row in rows
    ]


def _content(row: dict[str, Any], where: str) -> tuple[str, str]:
    return text_of(row, "question", where), text_of(row, "answer", where)


def _evaluated(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "prompt", "answer")}


def _set_of(config: str) -> str:
    """The set's name: `forget10_perturbed` is the set `forget`."""
    return "forget" if config.startswith("forget") else config.removesuffix("_perturbed")
