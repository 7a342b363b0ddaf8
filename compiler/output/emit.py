"""From a plan to files: scripts, contracts, configs, plan.json, PLAN.md, submit_all.sh. Pure: paths to texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from json.encoder import encode_basestring as quoted
from operator import itemgetter
from typing import Any

from compiler import backends
from compiler.backends.complete import Laid, told
from compiler.diagnostics import Position
from compiler.language.places import Cluster
from compiler.language.study import Tracking
from compiler.lower.sources import Sources, citing
from compiler.output.arrays import Array, Grouping, Seat, grouped, parents
from compiler.output.moulds import ConfigMould, Launches, config_mould
from compiler.output.page import content
from compiler.output.sums import SUMS, sum_line
from compiler.plan.plan import MANY, Edge, Job, Plan
from compiler.plan.restarts import links, notice
from compiler.text import shell_expanded

CONTRACT_VERSION = 1
NOWHERE = Position("the plan")  # a job that is there has its backend
BATCH = 1 << 20  # characters
HOLE = "\x1f"  # on both sides of a word that stands for a value of a job's own; no text of a spec holds it
_INPUT = re.compile(r"LETHE_IN_\S*")  # how a config or a command names an input


@dataclass(frozen=True, eq=False)
class Files(Mapping[str, str]):
    """Every file of a study's generated folder: path below it -> text. Each is rendered when it is asked for.

    `sources` says where each job's values come from.
    """

    plan: Plan
    cluster: Cluster
    tracking: Tracking
    sources: Mapping[str, Sources]

    def names(self) -> Iterator[str]:
        """All but manifest.sha256, in its order: sorted."""
        yield "PLAN.md"
        yield from (name for name, _ in self._arrays)
        yield from (name for name, _, _ in self._configs())
        yield from self._feed()
        yield from (name for name, _, _ in self._of_jobs("jobs", "json", "sh"))
        yield from ("plan.json", "submit_all.sh")

    def folders(self) -> list[str]:
        """The folders of all files."""
        own = {f"{top}/{job.id.rpartition('/')[0]}" for top in ("configs", "jobs") for job in self.plan.jobs}
        return sorted(own | ({"arrays"} if self._arrays else set()))

    def texts(self) -> Iterator[tuple[str, str | Iterator[str]]]:
        """The same with their texts, of which that of plan.json comes in parts."""
        configs, scripts = _Configs(self.sources), Scripts(self.plan, self.cluster, self.tracking)
        yield "PLAN.md", plan_page(self.plan)
        for name, array in self._arrays:
            first = scripts.text(array.first, configs.named(array.first))
            yield name, array_script(self.plan, array, first)
        yield from ((name, configs.files(job)[ending]) for name, ending, job in self._configs())
        yield from ((name, feed(self.plan, self.cluster)) for name in self._feed())
        for name, _, job in self._of_jobs("jobs", "json", "sh"):
            if name.endswith(".json"):
                yield name, contract_text(self.plan, job) if len(job.inputs) <= MANY else contract_pieces(self.plan, job)
            else:
                yield name, scripts.text(job, configs.named(job))
        yield "plan.json", self.plan.pieces()
        yield "submit_all.sh", submit_all(self.plan, self.cluster)

    def __getitem__(self, path: str) -> str:
        if path == SUMS:
            return "".join(sum_line(name, digest_of(text)) for name, text in self.texts())
        text = next((text for name, text in self.texts() if name == path), None)
        if text is None:
            raise KeyError(path)
        return text if isinstance(text, str) else "".join(text)

    def __iter__(self) -> Iterator[str]:
        yield from self.names()
        yield SUMS

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def _arrays(self) -> list[tuple[str, Array]]:
        """The names of the arrays' scripts."""
        found = _grouped(self.plan, self.cluster).arrays
        return sorted(((f"arrays/{array.name}.sh", array) for array in found), key=itemgetter(0))

    def _feed(self) -> list[str]:
        return ["feed.sh"] if self.plan.executor == "slurm" else []

    def _configs(self) -> Iterator[tuple[str, str, Job]]:
        """The names of the configs' files, with the end of each."""
        with_more = [(job, end) for job in self.plan.jobs for end in _part(job).more]
        more = {end: [job for job, one in with_more if one == end] for end in dict.fromkeys(end for _, end in with_more)}
        return merge(*(_named("configs", end, jobs) for end, jobs in {"yaml": self.plan.jobs, **more}.items()))

    def _of_jobs(self, folder: str, *endings: str) -> Iterator[tuple[str, str, Job]]:
        return merge(*(_named(folder, end, self.plan.jobs) for end in endings))


def _named(folder: str, end: str, jobs: Iterable[Job]) -> Iterator[tuple[str, str, Job]]:
    """The files of jobs in a folder that end so, sorted by name. There are never all names in memory."""
    ordered = sorted(jobs, key=lambda job: f"{job.id}.{end}")
    return ((f"{folder}/{job.id}.{end}", end, job) for job in ordered)


class _Configs:
    """The configs of a plan. Jobs with the same settings share the very objects, and have their files once; of those that
    differ in some numbers alone there is one with holes."""

    def __init__(self, sources: Mapping[str, Sources]) -> None:
        self._sources = sources
        self._files: dict[tuple[str | int, ...], Mapping[str, str]] = {}
        self._named: dict[tuple[str | int, ...], str] = {}
        self._moulds: dict[tuple[int, int], ConfigMould | None] = {}
        self._words: dict[tuple[int, int], dict[str, str]] = {}
        self._places: dict[str, str] = {}

    def files(self, job: Job) -> Mapping[str, str]:
        """A job's config files, by the ends of their names."""
        sources = self._sources.get(job.id)
        mould = self._mould(job, sources)
        if mould is not None and sources is not None and sources.family is not None:
            own = (id(sources), id(job.execution))
            if own not in self._words:
                said = citing(sources, self._places)
                self._words[own] = mould.words(sources.family.numbers_of(job.settings), said)
            return {"yaml": mould.text % self._words[own]}
        same = self._same(job)
        if same not in self._files:
            laid = laid_out(job)
            self._files[same] = {"yaml": laid.text(self._sources.get(job.id)), **laid.more}
        return self._files[same]

    def named(self, job: Job) -> str:
        """The variables for its inputs that a job's config names."""
        sources = self._sources.get(job.id)
        same = (id(sources.family), id(job.execution)) if self._mould(job, sources) and sources else self._same(job)
        if same not in self._named:
            self._named[same] = " ".join(_INPUT.findall(self.files(job)["yaml"]))
        return self._named[same]

    def _mould(self, job: Job, sources: Sources | None) -> ConfigMould | None:
        """What a job's config has in common with those of its family."""
        if sources is None or sources.family is None:
            return None
        key = (id(sources.family), id(job.execution))  # objects that live as long as the plan and its sources
        if key not in self._moulds:
            said = citing(sources, self._places)
            self._moulds[key] = config_mould(_part(job), job.settings, job.execution, sources.family, said)
        return self._moulds[key]

    def _same(self, job: Job) -> tuple[str | int, ...]:
        return (job.backend, job.what, id(job.settings), id(job.execution), id(self._sources.get(job.id)))


def digest_of(text: str | Iterable[str]) -> str:
    """sha256 (64 hex digits) of a text, which may come in parts."""
    found = hashlib.sha256()
    for data in batches([text] if isinstance(text, str) else text):
        found.update(data)
    return found.hexdigest()


def batches(parts: Iterable[str]) -> Iterator[bytes]:
    """A text that comes in parts as few and not too large pieces of UTF-8."""
    held, size = list[str](), 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size > BATCH:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()


def dispatcher() -> str:
    """`generated/submit_all.sh`, the same for whatever is compiled."""
    return (backends.TEMPLATES / "dispatch.sh").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Config:
    """A job's config file before its sources are cited, and further files that say the same in other forms, by their ends."""

    laid: tuple[Laid, ...]
    more: Mapping[str, str]

    def text(self, sources: Sources | None) -> str:
        """The file, citing where its values come from, as far as the backend's configs do."""
        return told(self.laid, citing(sources))


def laid_out(job: Job) -> Config:
    """A job's config files."""
    part = _part(job)
    return Config(part.lay_out(job.settings, job.execution), part.render_more(job.settings, job.execution))


def config_text(job: Job, sources: Sources | None = None) -> str:
    """A job's config file; without `sources` it cites nothing."""
    return laid_out(job).text(sources)


def contract_text(plan: Plan, job: Job) -> str:
    """A job's contract as a file: what the job reads, writes and must be, all of it in words and integers."""
    return "".join(contract_pieces(plan, job))


def contract_pieces(plan: Plan, job: Job) -> Iterator[str]:
    """The same in parts.

    It is put together as text, since a plan has as many contracts as jobs; what stands in it, and in which order, is fixed.
    """
    axes = ",".join([f"\n  {quoted(axis)}: {quoted(value)}" for axis, value in (job.cell or {}).items()])
    steps = ",".join(f"\n   {step}" for step in job.execution.get("keep") or ())  # those that must be kept
    cell = "null" if job.cell is None else "{" + axes + "\n }" if axes else "{}"
    yield (
        f'{{\n "lethe": {CONTRACT_VERSION},\n "study": {quoted(plan.study)},\n "job": {quoted(job.id)},'
        f'\n "kind": {quoted(job.kind)},\n "code": {job.code},\n "fingerprint": "{job.fingerprint}",'
        f'\n "cell": {cell},\n "config": {quoted(f"configs/{job.id}.yaml")},\n "inputs": {{'
    )
    for number, edge in enumerate(job.inputs):
        yield f",{_contract_input(edge)}" if number else _contract_input(edge)
    yield (
        ("\n " if job.inputs else "") + f'}},\n "output": {{\n  "type": {quoted(job.output)},\n  "path": {quoted(job.path)}'
        + (f',\n  "steps": [{steps}\n  ]' if steps else "")
        + f'\n }},\n "environment": {{\n  "name": {quoted(job.environment)},'
        f'\n  "lock": {"null" if job.lock is None else quoted(job.lock)}\n }}\n}}\n'
    )  # fmt: skip


def _contract_input(edge: Edge) -> str:
    return (
        f'\n  {quoted(edge.name)}: {{\n   "job": {quoted(edge.job)},\n   "type": {quoted(edge.type)},'
        f'\n   "path": {quoted(edge.path)},\n   "fingerprint": "{edge.fingerprint}",'
        f'\n   "required": {"true" if edge.required else "false"}\n  }}'
    )


def script(plan: Plan, job: Job, cluster: Cluster, tracking: Tracking, config: str) -> str:
    """A job's sbatch script, which runs without Slurm just as well. `config` has what its config file names of its inputs."""
    return Scripts(plan, cluster, tracking).text(job, config)


class Scripts:
    """The scripts of a plan. Those of jobs that ask for the same are rendered once, with holes for what is a job's own."""

    def __init__(self, plan: Plan, cluster: Cluster, tracking: Tracking) -> None:
        self._plan, self._cluster, self._tracking = plan, cluster, tracking
        self._launches = Launches()
        self._forms: dict[tuple[Hashable, ...], str] = {}

    def text(self, job: Job, config: str) -> str:
        """A job's script. `config` has what its config file names of its inputs."""
        launch = self._launches.text(_part(job), job)
        named = f"{launch} {config}" if "LETHE_IN_" in launch or config else ""
        words = " ".join(_INPUT.findall(named)) if named else ""
        shown = [edge for edge in job.inputs if f"LETHE_IN_{edge.name.upper()}" in words] if words else []
        before = notice(job, self._cluster)
        asked = (job.kind, job.environment, id(job.resources), job.output, before)
        alike = (*asked, len(job.inputs), *(one.name for one in shown))
        form = self._forms.get(alike)
        if form is None:
            form = self._forms[alike] = self._form(job, shown, before)
        own = {
            "id": job.id, "name": job.name, "path": job.path, "run": job.fingerprint[:16], "launch": launch,
            "slurm_name": slurm_name(self._plan, job),
        }  # fmt: skip
        return form % {**own, **{f"input{number}": edge.path for number, edge in enumerate(shown)}}

    def _form(self, job: Job, shown: Sequence[Edge], before: int | None) -> str:
        """What the scripts of jobs like this one have in common, as `%` fills it."""
        plan, cluster, tracking = self._plan, self._cluster, self._tracking
        own = ("id", "name", "path", "run", "launch", "slurm_name", *(f"input{number}" for number in range(len(shown))))
        hole = {name: f"{HOLE}{name}{HOLE}" for name in own}
        reported = job.kind == "train" and tracking.wandb != "disabled"
        text = _render(
            "job.sh.j2", study=plan.study, job={**hole, "inputs": job.inputs, "output": job.output}, r=job.resources,
            launch=hole["launch"], account=cluster.account, gpu_request=cluster.gpu_request,
            environment=cluster.environments[job.environment], store=_store(plan), slurm_name=hole["slurm_name"],
            restarts=cluster.restarts, notice=before,
            shown_inputs=[{"name": edge.name, "path": hole[f"input{number}"]} for number, edge in enumerate(shown)],
            wandb={"mode": tracking.wandb, "project": tracking.project} if reported else None,
        ).replace("%", "%%")  # fmt: skip
        for name, word in hole.items():
            text = text.replace(word, f"%({name})s")
        return text


def slurm_name(plan: Plan, job: Job) -> str:
    """The job's name in Slurm: unique per plan and fingerprint, so that a submission can be recognised."""
    return f"{plan.study}.{job.kind}.{job.name}.{job.fingerprint[:8]}"


def array_script(plan: Plan, array: Array, script: str) -> str:
    """The script of an array, which asks Slurm for what `script` asks for, that of its first job."""
    head = [line for line in script.split("\n\n", 1)[0].splitlines() if line.startswith("#SBATCH ")]
    asked = [line for line in head if not line.startswith("#SBATCH --job-name=")]
    return _render("array.sh.j2", study=plan.study, array=array, directives=asked, store=_store(plan))


def submit_all(plan: Plan, cluster: Cluster) -> str:
    """One visible line a job, in dependency order, those of an array together."""
    grouping = _grouped(plan, cluster)
    lines = [_submit_line(job, grouping.seats.get(job.id), links(job, cluster)) for job in grouping.jobs]
    return _render(
        "submit_all.sh.j2", plan=plan, lines=lines, store=_store(plan), kill_on_invalid_dep=cluster.kill_on_invalid_dep,
        limits=cluster.limits, arrays=cluster.arrays if grouping.arrays else None,
    )  # fmt: skip


def feed(plan: Plan, cluster: Cluster) -> str:
    """The small job that goes on by itself; it runs where the plan's least demanding jobs do."""
    least = min(plan.jobs, key=lambda job: (job.resources["gpus"], job.resources["cpus"]))
    return _render("feed.sh.j2", study=plan.study, account=cluster.account, partition=least.resources["partition"])


def plan_page(plan: Plan) -> str:
    """PLAN.md."""
    return _render("PLAN.md.j2", **content(plan))


def _grouped(plan: Plan, cluster: Cluster) -> Grouping:
    return grouped(plan.jobs, cluster.arrays, [job.id for job in plan.jobs if links(job, cluster) > 1])


def _submit_line(job: Job, seat: Seat | None, links: int) -> str:
    after, ended = parents(job)
    words = ["submit", job.id, job.fingerprint]
    words += ["in", seat.array, str(seat.index)] if seat else []
    words += ["links", str(links)] if links > 1 else []
    steps = job.execution.get("keep")
    words += ["steps", *map(str, steps)] if steps else []
    words += ["after", *after] if after else []
    words += ["ended", *ended] if ended else []
    return " ".join(words)


def _store(plan: Plan) -> str:
    """The store as bash reads it: LETHE_STORE if it is set, else the cluster's."""
    return "${LETHE_STORE:-" + shell_expanded(plan.store) + "}"


def _part(job: Job) -> backends.Part:
    return backends.part(job.backend, job.what, NOWHERE)


def _render(template: str, **values: Any) -> str:
    return backends.environment().get_template(template).render(**values)
