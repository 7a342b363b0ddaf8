"""Rows of GEM's single-turn environments: of their data sets, or of reasoning-gym's questions through them (`rg:…`).

The data set is loaded here, at a revision, and handed to GEM's own class, which lays its prompt around the questions; nothing
that moves is asked for. Each row carries what GEM's `step` needs (grader `gem`) and what our own graders need (`math`, `qa`,
`code`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runtime.domains.forms import in_lines
from runtime.domains.hub import draw_order, short_name
from runtime.domains.made import Made, Rows
from runtime.domains.tables import load_table
from runtime.errors import JobError
from runtime.graders.gem import NAME, SAMPLED, find_spec, open_environment

CLASSES = ("MathEnv", "QaEnv", "CodeEnv")  # of one turn, with texts to read


def make_rows(config: Mapping[str, Any]) -> Made:
    """`train` and `eval` rows of the environment. Raises JobError for a game of several turns, for pictures, for too few
    rows."""
    env = config["env"]
    class_ = find_spec(env).entry_point.rpartition(":")[2]
    if env.startswith(SAMPLED):
        return _sampled(config)
    if class_ not in CLASSES:
        raise JobError(
            f"env: {env} is a {class_}, and rows need one question with one answer in text ({', '.join(CLASSES)}); take another"
        )
    if config["hub"] is None or config["splits"] is None:
        raise JobError(
            f"hub: {env} reads a data set; name it with its revision and its splits (GEM's own is in docs/domains.md)"
        )
    evaluation = _draw(config, "eval", set())
    train = _draw(config, "train", {row["prompt"] for row in evaluation})
    return Made(_numbered(config, "train", train), _numbered(config, "eval", evaluation))


def _sampled(config: Mapping[str, Any]) -> Made:
    """Different questions of one stream, the evaluation's first."""
    env, wanted = config["env"], config["train"] + config["eval"]
    size = 2 * wanted
    dataset = open_environment(env, seed=config["seed"], size=size).ds
    rows: dict[str, dict[str, Any]] = {}
    for index in range(size):
        entry = dataset[index]
        place = {"env": env, "seed": config["seed"], "size": size, "index": index, "question": entry["question"]}
        prompt, answer = _prompt(config, entry["question"]), str(entry["answer"])
        rows.setdefault(prompt, {"prompt": prompt, "answer": answer, "solution": f"\\boxed{{{answer}}}", NAME: place})
        if len(rows) == wanted:
            found = list(rows.values())
            return Made(_numbered(config, "train", found[config["eval"] :]), _numbered(config, "eval", found[: config["eval"]]))
    raise JobError(f"gem: {env} has {len(rows)} different questions among {size}, not {wanted}; ask for fewer")


def _draw(config: Mapping[str, Any], split: str, held_out: set[str]) -> Rows:
    """So many different rows of a split, in the order of the seed, none with a prompt that is held out."""
    spec = find_spec(config["env"])
    tests = spec.kwargs.get("test_key")
    table = load_table(config["hub"], config["config"], config["revision"], config["splits"][split])
    table.require([spec.kwargs["question_key"], tests or spec.kwargs["answer_key"]])
    # `eval` keeps the order of the records, and without `use_mp` no process is forked for each environment.
    environment = open_environment(config["env"], dataset=table.parts[0], seed=config["seed"], use_mp=False, eval=True)
    rows: dict[str, dict[str, Any]] = {}
    for number in draw_order(len(environment.dataset), short_name(config["hub"]), config["seed"], config["splits"][split]):
        if len(rows) == config[split]:
            return list(rows.values())
        record = environment.dataset[number]
        prompt = _prompt(config, record[spec.kwargs["question_key"]])
        if prompt not in held_out and prompt not in rows:
            rows[prompt] = {
                "prompt": prompt,
                **(_tested(config, record[tests]) if tests else _answered(config, spec.kwargs, record)),
            }
    if len(rows) < config[split]:
        raise JobError(f"{split}: {table.name} gives {len(rows)} different rows, not {config[split]}; ask for fewer")
    return list(rows.values())


def _answered(config: Mapping[str, Any], keys: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """What both GEM's step and our graders compare with; the solution is set off as the environment reads it."""
    answer = record[keys["answer_key"]]
    aliases = [str(alias) for alias in (answer if isinstance(answer, list) else [answer])]
    boxed = keys.get("extract_boxed") or find_spec(config["env"]).entry_point.endswith(":MathEnv")
    solution = f"\\boxed{{{aliases[0]}}}" if boxed else f"<answer>{aliases[0]}</answer>"
    return {"answer": aliases[0], "aliases": aliases, "solution": solution, NAME: {"env": config["env"], "answer": answer}}


def _tested(config: Mapping[str, Any], tests: Any) -> dict[str, Any]:
    """Pairs of input and output for our own sandbox, the longest inputs first, as GEM chooses them; there is no solution to
    learn."""
    pairs = json.loads(tests) if isinstance(tests, str) else tests
    both = [
        {"input": in_lines(given), "output": in_lines(printed)}
        for given, printed in zip(pairs["inputs"], pairs["outputs"], strict=True)
    ]
    longest = sorted(both, key=lambda test: len(test["input"]), reverse=True)[: config["tests"]["most"]]
    limits = {name: config["tests"][name] for name in ("seconds", "mebibytes")}
    return {"answer": "", "solution": "", "tests": longest, "limits": limits, NAME: {"env": config["env"]}}


def _prompt(config: Mapping[str, Any], question: str) -> str:
    return f"{config['prompt']['before']}{question}{config['prompt']['after']}"


def _numbered(config: Mapping[str, Any], split: str, rows: Rows) -> Rows:
    name = config["env"].replace(":", "-")
    return [{"id": f"{name}-{split}-{number:06d}", **row} for number, row in enumerate(rows)]
