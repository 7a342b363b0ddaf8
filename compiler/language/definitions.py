"""What can be defined in a catalog, each as a type: methods, algorithms, datasets, domains, scales, suites, environments,
clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict  # pydantic takes typing's own only from Python 3.12 on

from compiler.language.references import Refers
from compiler.language.study import Checkpoints, Name, Positive, Share, Size
from compiler.language.validation import Strict, both_or_none, exactly_one, misplaced
from compiler.language.words import Memory, Module, Python, Sha256, Time, Variable, Word

Settings = dict[str, Any]
ResourcesName = Annotated[Name, Refers("resources")]
DomainName = Annotated[Name, Refers("domains")]
Seconds = Annotated[float, Field(gt=0)]
ScaleName = Annotated[Name, Refers("scales")]
Paces = Seconds | dict[ScaleName, Seconds | dict[Name, Seconds]]
Hours = Seconds | dict[ScaleName, Seconds]


class Shape(Strict):
    """What a transformer's memory depends on beyond the number of its weights, as its config.json has it."""

    layers: Positive
    """num_hidden_layers."""
    hidden: Positive
    """hidden_size."""
    feed_forward: Positive
    """intermediate_size."""
    heads: Positive
    """num_attention_heads."""
    kv_heads: Positive
    """num_key_value_heads."""
    head_size: Positive
    """head_dim, or hidden_size / num_attention_heads."""
    vocabulary: Positive
    """vocab_size."""


class Point(Strict):
    """One checkpoint of a training, in one unit."""

    model_config = ConfigDict(json_schema_extra=exactly_one("step", "epoch", "fraction"))

    step: Positive | None = None
    """After so many steps."""
    epoch: float | None = Field(default=None, gt=0)
    """After so many epochs."""
    fraction: Share | None = None
    """After this share of all steps."""

    @model_validator(mode="after")
    def _one_unit(self) -> Point:
        if sum(x is not None for x in (self.step, self.epoch, self.fraction)) != 1:
            raise ValueError("say exactly one of step, epoch and fraction")
        return self


class Stage(Strict):
    """One training: an algorithm on a dataset."""

    algorithm: Annotated[Name, Refers("algorithms")]
    """An algorithm of the catalog."""
    dataset: Annotated[Name, Refers("datasets")]
    """A dataset of the catalog, made from the cell's domain."""
    settings: Settings = Field(default={})
    """Settings of the algorithm, on top of its own and of the domain's."""
    init_from: Literal["final"] | Point = "final"
    """Which checkpoint of the training before it: its last, or an intermediate one."""
    teacher: Annotated[Name, Refers("teachers")] | None = None
    """With an algorithm that learns from another model: which of the catalog's teachers that is."""
    repeat: int = Field(default=1, ge=1)
    """So many times in a row; with traces of the model itself, sampled anew each time."""


class Method(Strict):
    """A recipe: stages in order, each from the checkpoint of the one before."""

    about: str
    """One line on what it is."""
    stages: list[Stage] = Field(min_length=1)
    """What is trained; on a sequence of domains, all of it on each."""
    finish: list[Stage] = Field(default=[])
    """What is trained once, at the end, on the last domain."""


class Algorithm(Strict):
    """What a stage optimises, its settings, and the backend that runs it."""

    about: str
    """One line on what it is."""
    backend: Name
    """A folder of templates/backends/."""
    trainer: Name | None = None
    """What of that backend runs it; default: that of the algorithm's own name."""
    settings: Settings
    """What decides the result; the backend's schema says which there are."""
    execution: Settings = Field(default={})
    """How it is run, with the same result."""
    resources: ResourcesName
    """A class of the cluster's resources."""
    pace: Paces | None = None
    """Seconds a step, as measured (`lethe calibrate`): one number, or one for each scale, and there for each kind of GPU."""


class Adapter(Strict):
    """Which weights are trained."""

    about: str
    """One line on what it is."""
    settings: Settings | None
    """What the trainer is given as its `adapter`; null: all weights are trained."""


class Traces(Strict):
    """Sampling that a dataset needs first."""

    model: Annotated[Name, Refers("teachers", also=("start", "previous"))]
    """Whose answers: `start` (the cell's), `previous` (the checkpoint that the stage begins from), or a teacher."""
    backend: Name
    """A folder of templates/backends/."""
    settings: Settings
    """What decides the answers."""
    execution: Settings = Field(default={})
    """How they are sampled."""
    resources: ResourcesName
    """A class of the cluster's resources."""
    rounds: int = Field(default=1, ge=1, le=2)
    """With 2, a repeated stage trains on the answers of the round before, too."""


class Dataset(Strict):
    """How a stage's training data is made from a domain."""

    about: str
    """One line on what it is."""
    type: Literal["dataset.sft", "dataset.preference", "dataset.rl", "dataset.privileged", "dataset.unlearning"]
    """What an algorithm must be able to read."""
    settings: Settings
    """Which rows or answers are kept."""
    traces: Traces | None = None
    """Answers to sample first; without, the domain's own solutions are used."""


class Pretrain(Strict):
    """A model trained by the plan itself, on rows of these domains, from `start` or from nothing."""

    domains: list[DomainName] = Field(min_length=1)
    """What it learns."""
    start: Name | None = None
    """The start of the same scale that it goes on from."""
    settings: Settings
    """The model and its training."""
    resources: ResourcesName = "train"
    """A class of the cluster's resources."""


class Teacher(Strict):
    """A model that answers a domain's questions: a hub model at a revision, or one that the plan trains."""

    model_config = ConfigDict(json_schema_extra={"allOf": [exactly_one("hub", "pretrain"), both_or_none("hub", "revision")]})

    about: str
    """One line on what it is."""
    hub: str | None = None
    """The model's name on the hub."""
    revision: str | None = None
    """A commit, tag or branch."""
    pretrain: Pretrain | None = None
    """Trained by the plan, from nothing, on whole rows."""
    parameters: float | None = Field(default=None, gt=0)
    """How many weights it has; tells whether it fits the GPUs."""
    shape: Shape | None = None
    """Its layers; tells how many answers it can write at a time."""

    @model_validator(mode="after")
    def _one_origin(self) -> Teacher:
        if (self.hub is None) == (self.pretrain is None) or (self.hub is None) != (self.revision is None):
            raise ValueError("a teacher is a hub model (hub and revision) or is trained by the plan (pretrain)")
        if self.pretrain and self.pretrain.start is not None:
            raise misplaced(("pretrain", "start"), "a teacher is of no scale and has no start to go on from")
        return self


class Domain(Strict):
    """A source of rows with a grader; or a combination of such domains."""

    model_config = ConfigDict(json_schema_extra=exactly_one("settings", "sequence", "mix", "iid"))

    about: str
    """One line on what it is."""
    grader: Literal["math", "code", "qa", "refusal", "reasoning_gym", "gem"] | None = None
    """How an answer is told right or wrong; null where nothing is graded."""
    settings: Settings | None = None
    """Where its rows come from."""
    sequence: list[DomainName] | None = Field(default=None, min_length=2)
    """Domains trained on one after the other."""
    mix: dict[DomainName, Annotated[float, Field(gt=0)]] | None = Field(default=None, min_length=2)
    """Domains trained on together, with their shares of the rows; as many rows as the shares allow."""
    iid: list[DomainName] | None = Field(default=None, min_length=2)
    """The control of a sequence: the same domains pooled, shuffled, and trained on in as many equal parts."""
    seed: int = Field(default=0, ge=0)
    """Of a mix's or a pool's shuffling."""
    algorithms: dict[Annotated[Name, Refers("algorithms")], Settings] = Field(default={})
    """Settings of algorithms on this domain."""
    datasets: dict[Annotated[Name, Refers("datasets")], Settings] = Field(default={})
    """Settings of datasets' traces on this domain."""
    examples: dict[Annotated[Name, Refers("datasets")], Positive] = Field(default={})
    """How many rows a dataset came to, where that is known only from sampling it; steps are counted with it."""
    longest: dict[Annotated[Name, Refers("datasets")], Positive] = Field(default={})
    """How many tokens the longest row of a dataset has, where that is known; a smaller max_length is told."""
    measured_on: list[DomainName] | None = Field(default=None, min_length=1)
    """The domains that a suite of the cell's own domain measures; default: itself."""
    reference: Name | None = None
    """The start that never saw what is to be forgotten; suites with `reference: true` compare with it."""

    @model_validator(mode="after")
    def _one_kind(self) -> Domain:
        if sum(x is not None for x in (self.settings, self.sequence, self.mix, self.iid)) != 1:
            raise ValueError("a domain is exactly one of settings (rows of its own), sequence, mix and iid")
        return self


class Trained(Strict):
    """A start that is itself made by a method on a domain."""

    method: Annotated[Name, Refers("methods")]
    """A method of the catalog."""
    domain: DomainName
    """A domain of the catalog."""
    start: Name
    """The start it begins from."""


@with_config(ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True))
class Prompt(TypedDict):
    """How a model is asked."""

    template: Literal["plain", "chat"]
    """plain: 'Q: ...', 'A:'; chat: the chat template of the model's tokenizer."""
    thinking: bool
    """Whether a chat answer may begin with reasoning; without, an empty reasoning block precedes it."""
    system: NotRequired[Annotated[str, Field(min_length=1)]]
    """What a chat begins with where a conversation has no system prompt."""
    date: NotRequired[Annotated[str, Field(min_length=1)]]
    """The date that the chat template shows, so that prompts are the same on any day."""


class Start(Strict):
    """One model to begin from: a hub model at a revision, one inside a Python package, or one that the plan trains."""

    hub: str | None = None
    """The model's name on the hub."""
    revision: str | None = None
    """A commit, tag or branch."""
    package: str | None = None
    """A Python package of the jobs' environment that holds the weights and the tokenizer in one GGUF file."""
    version: str | None = None
    """The package's version."""
    sha256: Sha256 | None = None
    """The hash of that file."""
    prompt: Prompt
    """How it is asked: the template, and whether it thinks first."""
    pretrain: Pretrain | None = None
    """Trained by the plan, on whole rows."""
    trained: Trained | None = None
    """Trained by the plan, by a method."""


class Scale(Strict):
    """One model size, with its start models."""

    about: str
    """One line on what it is."""
    parameters: float = Field(gt=0)
    """How many weights the model has."""
    shape: Shape | None = None
    """Its layers; tells what trainings and samplings take of a GPU's memory."""
    starts: dict[Name, Start]
    """The models to begin from."""


DIVERGENCE = "divergence"  # the setting by which a suite says that it measures one


class TaskSize(Strict):
    """How much one task asks of a checkpoint."""

    items: Positive
    """Its questions."""
    samples: Positive = 1
    """Answers to each."""


class Suite(Strict):
    """The tasks that checkpoints are measured on."""

    about: str
    """One line on what it measures."""
    backend: Name
    """A folder of templates/backends/."""
    domains: list[DomainName] | Literal["cell"] = Field(default=[])
    """Whose evaluation rows are its tasks; `cell`: those of the domain that the cell trained on."""
    source: str | None = None
    """With `domains: cell`: only of domains whose rows come from this source."""
    settings: Settings
    """What decides the scores: tasks, sampling, prompt."""
    execution: Settings = Field(default={})
    """How it is run."""
    resources: ResourcesName
    """A class of the cluster's resources."""
    checkpoints: Checkpoints | None = None
    """Which of a training's checkpoints; default: what the study says."""
    reference: bool = False
    """Whether it needs the scores of the domain's reference start."""
    before: bool = False
    """Whether it needs the scores of the model that the cell begins from."""
    sizes: dict[Name, TaskSize] = Field(default={})
    """What its tasks ask of a checkpoint, where the tasks themselves say so; too much is told."""
    hours: Hours | None = None
    """Hours a checkpoint, as measured: one number, or one for each scale."""
    held_out: dict[DomainName, list[Name]] = Field(default={})
    """Tasks that measure what a domain trains: for cells of these domains they are no part of the forgetting profile."""

    @property
    def what(self) -> str:
        """The part of its backend that measures it."""
        kinds = (("metrics", "evaluate_unlearning"), (DIVERGENCE, f"evaluate_{DIVERGENCE}"))
        return next((part for key, part in kinds if key in self.settings), "evaluate")

    @property
    def is_divergence(self) -> bool:
        """Whether it compares each checkpoint with the model that its training began from."""
        return DIVERGENCE in self.settings


Capability = Literal["gpu", "network", "flash_attn", "latex"]


class Environment(Strict):
    """Packages that are installed together: a lock says which, in which versions."""

    about: str
    """One line on what it is for."""
    python: Python
    """The version of Python, such as 3.11."""
    lock: list[str] = Field(min_length=1)
    """Files of pinned requirements, seen from this file; together they are the lock."""
    imports: list[Module] = Field(min_length=1)
    """Modules that must import before anything runs in it."""
    provides: list[Capability] = Field(default=[])
    """What jobs can do in it, beside running on a CPU."""


class Installation(Strict):
    """A catalog's environment as a cluster has it: what a job's shell loads before it runs."""

    environment: Annotated[Name, Refers("environments")] | None = None
    """Which environment of the catalog it is; default: the one of its own name."""
    modules: list[str] = Field(default=[])
    """For `module load`, in this order."""
    activate: str | None = None
    """A script to source, such as a virtual environment's."""
    exports: dict[Variable, str] = Field(default={})
    """Variables to set."""
    unsets: list[Variable] = Field(default=[])
    """Variables to remove."""
    provides: list[Capability] = Field(default=[])
    """What jobs can do there that the catalog's environment does not promise, such as with a site's own flash-attn."""
    without: list[Capability] = Field(default=[])
    """What the catalog's environment promises and this place has not, such as the network on compute nodes."""
    files: list[str] = Field(default=[])
    """More files that say what is installed, such as a container's image, seen from the repository. `lethe lock` records their
    hashes with those of the environment's own lock."""


class Resources(Strict):
    """What one class of jobs asks of the cluster."""

    partition: Word | None = None
    """Slurm's partition; null: the site's default."""
    time: Time
    """The time limit, in one of Slurm's six forms."""
    nodes: int = Field(default=1, ge=1)
    """How many nodes, each with what follows."""
    cpus: int = Field(ge=1)
    """CPUs of a node."""
    mem: Memory
    """Memory of a node, with its unit."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of a node."""
    gpu: Word | None = None
    """The kind of GPU, by the site's name."""


class Caps(Strict):
    """The most that one user may ask for; null: no limit that is known."""

    time: Time | None = None
    """Of a job, in one of Slurm's six forms."""
    cpus: Positive | None = None
    """At a time."""
    mem: Size | None = None
    """At a time, with its unit."""
    gpus: int | None = Field(default=None, ge=0)
    """At a time."""


class Gpu(Strict):
    """One kind of GPU."""

    gigabytes: float = Field(gt=0)
    """Its memory in GB of 10^9 bytes, the number in its name."""


class Limits(Caps):
    """Caps of the site on one user, on every partition."""

    submitted: int = Field(ge=1)
    """Jobs that may be queued and running together."""


class Purge(Strict):
    """What a site deletes by itself."""

    days: Positive
    """Files that nobody used for so many days."""


class Arrays(Strict):
    """Whether jobs that are alike go into Slurm's queue as one array."""

    at_once: Positive
    """How many elements of one run at a time."""
    most: Positive = 1001
    """The site's MaxArraySize; indices stay below it."""


class Restarts(Strict):
    """How a training that its time limit ends, or that is preempted, goes on."""

    requeue: bool = True
    """Whether Slurm may start a job again. Else a training goes in as several jobs, one behind the other (`links`)."""
    attempts: Positive = 8
    """How often Slurm may start one job, and how many links a training may have."""
    links: Positive | None = None
    """Where Slurm may not start a job again: how many jobs, one behind the other, each training is submitted as. What is not
    needed any more ends at once. null: as many as its estimated hours need, and one where there is no estimate."""
    notice: Positive = 300
    """Seconds before its time limit at which a training is told to save; at most a quarter of its time is taken."""


class Cluster(Strict):
    """A place that runs jobs, as data."""

    about: str
    """One line on what it is."""
    executor: Literal["slurm", "local"]
    """What starts jobs there."""
    store: str
    """The folder of artifacts; $NAMES are expanded by the job's own shell."""
    account: Word | None = None
    """Slurm's account; null: the user's default."""
    gpu_request: Literal["gres", "gpus_per_node"] = "gres"
    """How GPUs are asked for."""
    limits: Limits
    """What the site allows one user."""
    arrays: Arrays | None = None
    """Alike jobs as arrays; null: each job by itself."""
    partitions: dict[Name, Caps] = Field(default={})
    """What it allows one user on each partition; empty: nothing is known of them."""
    gpus: dict[Name, Gpu] = Field(default={})
    """The kinds of GPU, by the site's names."""
    quota: Size | None = None
    """How much one user may store where the store is."""
    purge: Purge | None = None
    """What the site deletes there, as `lethe storage` tells; null: nothing is known."""
    restarts: Restarts = Restarts()
    """How trainings go on that ended early."""
    kill_on_invalid_dep: bool = False
    """Whether Slurm should cancel jobs whose dependency failed."""
    environments: dict[Name, Installation]
    """What jobs' shells load; a backend names the one it runs in."""
    resources: dict[Name, Resources]
    """Classes of jobs."""


SECTIONS: Mapping[str, type[Strict]] = {
    "methods": Method,
    "algorithms": Algorithm,
    "adapters": Adapter,
    "datasets": Dataset,
    "teachers": Teacher,
    "domains": Domain,
    "scales": Scale,
    "suites": Suite,
    "environments": Environment,
    "clusters": Cluster,
}
