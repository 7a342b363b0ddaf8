"""What is likely a mistake although it would run: settings that cut rows or answers off, or measure for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.diagnostics import Diagnostic, nearest
from compiler.fitness.demand import row_tokens
from compiler.fitness.models import Model
from compiler.fitness.remarks import Remark
from compiler.language.catalog import Catalog
from compiler.language.definitions import Domain, Suite
from compiler.plan.plan import Job, PlannedCell

THOUGHT = 4096  # tokens: a model that thinks seldom comes to an answer in fewer (the study's teacher, with 2,048: 43 % of MATH)
MOST_ANSWERS = 1_000_000  # of one checkpoint on one suite


def remarks(
    catalog: Catalog, suites: Sequence[str], jobs: Sequence[Job], cells: Sequence[PlannedCell], models: Mapping[str, Model]
) -> Iterator[Remark]:
    """Everything of that kind in a plan. `suites` are those that the study names."""
    longest = {
        f"build/{dataset}_{name}": (f"{dataset} on {name}", tokens)
        for (_, name), domain in catalog.models.items() if isinstance(domain, Domain)
        for dataset, tokens in domain.longest.items()
    }  # fmt: skip
    few = set[int]()  # settings that many evaluations have, which ask for as many answers as they may
    for job in jobs:
        if job.id in models and models[job.id].thinks:
            yield from _short_thoughts(job)
        if job.kind == "train":
            yield from _long_rows(longest, job)
        elif job.kind in ("generate", "evaluate") and id(job.settings) not in few:
            found = list(_many_answers_of(job))
            yield from found
            few |= set() if found else {id(job.settings)}
    for name in suites:
        suite = catalog.models["suites", name]
        if isinstance(suite, Suite):
            yield from _many_answers(name, suite)
    yield from _mixed_baselines({job.id: job for job in jobs}, cells)


def _short_thoughts(job: Job) -> Iterator[Remark]:
    """Sampling, training or measuring a model that thinks, with too few tokens to come to an answer."""
    for name in ("max_answer_tokens", "max_new_tokens"):
        most = job.settings.get(name)
        if most is not None and most < THOUGHT:
            text = f"its model thinks first, and {name} is {most:,}: thoughts that take more are cut off without an answer"
            yield Remark(f"thinking {job.kind} {name}", job.id, text, -most)


def _long_rows(longest: Mapping[str, tuple[str, int]], job: Job) -> Iterator[Remark]:
    """A training on a dataset whose longest row is known to be longer than it takes."""
    most, data = row_tokens(job.settings), next((edge.job for edge in job.inputs if edge.name == "data"), "")
    what, tokens = longest.get(data.removesuffix(".parquet"), ("", 0))
    if most is not None and tokens > most:
        then = "it stops there" if job.settings.get("overlong") == "error" else "longer rows are left out or cut"
        text = f"rows of {what} have up to {tokens:,} tokens, and it takes {most:,}: {then}"
        yield Remark(f"longest {job.what} {what}", job.id, text, -most)


def _many_answers_of(job: Job) -> Iterator[Remark]:
    """Sampling or measuring that asks for more answers than anybody waits for."""
    tasks = job.settings.get("tasks")
    answers = int(job.settings.get("prompts") or 0) * int(job.settings.get("samples") or 1)
    if isinstance(tasks, list):
        answers = sum(task["items"] for task in tasks) * int(job.settings.get("samples") or 1)
    if answers > MOST_ANSWERS:
        yield Remark(f"answers {job.kind}", job.id, f"takes {answers:,} answers of one checkpoint", answers)


def _many_answers(name: str, suite: Suite) -> Iterator[Remark]:
    for task, asked in suite.sizes.items():
        answers = asked.items * asked.samples
        if answers > MOST_ANSWERS:
            product = f"{asked.items:,} items x {asked.samples:,} samples"
            text = f"task {task} takes {answers:,} answers of each checkpoint ({product})"
            yield Remark(f"answers {name} {task}", f"suite {name}", text)


def lost_sizes(catalog: Catalog, suites: Sequence[str]) -> Iterator[Diagnostic]:
    """Sizes of tasks that a suite does not have: they would say nothing."""
    for name in suites:
        suite = catalog.models["suites", name]
        tasks = suite.settings.get("tasks", suite.domains) if isinstance(suite, Suite) else ()
        for task in suite.sizes if isinstance(suite, Suite) else ():
            if task not in tasks:
                at = catalog.trees["suites", name].key_at(("sizes", task))
                yield Diagnostic(at, f"suite '{name}' has no task '{task}'", nearest(task, tasks))


def _mixed_baselines(jobs: Mapping[str, Job], cells: Sequence[PlannedCell]) -> Iterator[Remark]:
    """Starts that are measured on several kinds of GPU: scores of one model differ by up to 0.009 between them."""
    kinds: dict[str, dict[str, str]] = {}
    for cell in cells:
        for job in (jobs[name] for name in cell.before.values()):
            model = next(edge.job for edge in job.inputs if edge.name == "model")
            if job.resources["gpus"] and job.resources["gpu"]:
                kinds.setdefault(model, {}).setdefault(str(job.resources["gpu"]), job.id)
    for found in (found for found in kinds.values() if len(found) > 1):
        told = " and ".join(f"{job} on {gpu}" for gpu, job in found.items())
        text = f"one start is measured on several kinds of GPU ({told}), which by itself moves scores"
        yield Remark("baselines", next(iter(found.values())), text)
