"""MUSE (arXiv 2407.06460): news articles or books, and what a model knows and recites of them.

Its configurations are `raw`, `scal` and `sust` (texts to forget and to retain), `knowmem` (questions), `verbmem` (beginnings
and how they go on) and `privleak` (texts to be recognised). Texts are cut into pieces by the trainer, who has the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.benchmarks.hub import Published, read_published, text_of
from runtime.benchmarks.sets import Sets, check_count, content_id, text_row

Rows = list[dict[str, Any]]


def make_sets(config: Mapping[str, Any]) -> Sets:
    """The texts that a training sees, those to retain, and the sets of the configurations that metrics want."""
    of, split = Published(config["hub"], config["revision"]), config["split"]
    train = _texts(of, config["config"], split)
    check_count(f"{of.hub} {split}", train, "texts", config["texts"])
    retain = None if config["retain"] is None else _texts(of, "raw", config["retain"])
    evaluation = {name: rows for kind in config["evaluation"] for name, rows in EVALUATION[kind](of).items()}
    return Sets(train, retain, evaluation)


def _texts(of: Published, config: str | None, split: str) -> Rows:
    where = f"{of.hub} {config or ''} {split}"
    return [text_row(text_of(row, "text", where)) for row in read_published(of, config, split, ("text",))]


def _knowmem(of: Published) -> dict[str, Rows]:
    """Questions on what is to be forgotten and retained, and for each the solved ones that are shown before."""
    splits = {"forget": "forget_qa", "forget_icl": "forget_qa_icl", "retain": "retain_qa", "retain_icl": "retain_qa_icl"}
    names = {key: f"{key.split('_')[0]}_knowmem{'_icl' if key.endswith('icl') else ''}" for key in splits}
    return {names[key]: _answered(of, "knowmem", split, ("question", "answer")) for key, split in splits.items()}


def _verbmem(of: Published) -> dict[str, Rows]:
    return {"forget_verbmem": _answered(of, "verbmem", "forget", ("prompt", "gt"))}


def _privleak(of: Published) -> dict[str, Rows]:
    return {split: _texts(of, "privleak", split) for split in ("forget", "retain", "holdout")}


EVALUATION: Mapping[str, Callable[[Published], dict[str, Rows]]] = {
    "knowmem": _knowmem,
    "verbmem": _verbmem,
    "privleak": _privleak,
}


def _answered(of: Published, config: str, split: str, columns: tuple[str, str]) -> Rows:
    where = f"{of.hub} {config} {split}"
    pairs = [
        (text_of(row, columns[0], where), text_of(row, columns[1], where)) for row in read_published(of, config, split, columns)
    ]
    return [{"id": content_id(asked, answer), "prompt": asked, "answer": answer} for asked, answer in pairs]
