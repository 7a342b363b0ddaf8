"""What can be defined in a catalog, each as a type; environments and clusters are in places.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict  # pydantic takes typing's own only from Python 3.12 on

from compiler.language.places import Cluster, Environment
from compiler.language.references import Refers
from compiler.language.study import Checkpoints, Name, Positive, Share
from compiler.language.validation import Strict, both_or_none, exactly_one, misplaced
from compiler.language.words import Sha256

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
