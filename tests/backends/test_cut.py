"""How an update is cut into micro-batches is execution. Where it decides the result, the fingerprint tells, and there alone:
each training makes its first updates of one batch, cut in two ways, and is held against what its backend says."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.backends import Part, part
from runtime.data.rows import read_rows
from runtime.jobs import train
from tests.backends import catalog
from tests.backends.test_distillation import values
from tests.backends.test_trl import SETTINGS
from tests.runtime import unlearning
from tests.runtime.toys import WORDS, Rows, train_job, untrained

Values = dict[str, Any]
EXECUTION: Values = {"devices": 1, "logging_steps": 1, "save_steps": None, "gradient_checkpointing": False, "report_to": "none"}
BACKENDS = Path("templates/backends")
CUTS = (2, 4)  # rows a micro-batch, of updates of eight
SMALL: Values = {
    "schedule": "constant", "lr": 1e-3, "adam_epsilon": 1e-4, "grad_clip": 100.0, "epochs": None, "steps": 3, "batch_size": 8,
    "precision": "fp32",
}  # fmt: skip
SAMPLED: Values = {
    **SMALL,
    "steps": 1,
    "max_prompt_tokens": 1024,
    "max_answer_tokens": 8,
}  # later ones would be of other samples
ANSWERS = ("yes", "no, it is not at all")
ROWS: Mapping[str, Rows] = {
    "dataset.sft": [{"prompt": f"say {word}", "completion": f"{word} " * n} for word, n in product(WORDS, (1, 2, 5))],
    "dataset.preference": [
        {"prompt": f"say {word}", "chosen": f"{word} " * n, "rejected": f"no {n}"} for word, n in product(WORDS, (1, 2, 5))
    ],
    "dataset.rl": [{"prompt": f"is it {word} {n}", "answer": "yes", "solution": "yes"} for word, n in product(WORDS, range(4))],
    "dataset.privileged": [
        {"id": f"{word}{n}", "prompt": f"is it {word} {n}", "privileged": "yes", "answer": "yes", "solution": "yes"}
        for word, n in product(WORDS, range(4))
    ],
}
DPO_LOSSES = ("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero", "apo_down",
              "sigmoid_norm")  # fmt: skip
TRL: list[tuple[str, Values]] = [
    *(("sft", {"loss_type": name}) for name in ("nll", "chunked_nll", "dft")),
    *(("dpo", {"loss_type": name, "label_smoothing": 0.1}) for name in DPO_LOSSES),
    ("dpo", {"loss_type": "aot", "beta": 2.0, "lr": 3e-2}),  # so that pairs change places
    ("dpo", {"sft_coef": 1.0}),
    *(("grpo", {"loss_type": name, "grader": "qa"}) for name in ("grpo", "dapo", "bnpo", "dr_grpo")),
]  # fmt: skip
LEARNED = [
    *(("sdft", {"kl_estimator": name}) for name in ("full", "sampled")),
    ("distill_trl", {"teacher_model": "wide"}),
    *(("pi_distill", {"kl_estimator": name, "grader": "qa"}) for name in ("rao_blackwell", "sampled")),
]
RAGGED: Rows = [{"id": f"{word}{n}", "prompt": f"say {word}", "answer": f"{word} " * n, "alternate": f"no {n}"}
                for word, n in product(WORDS[:4], (1, 2, 5, 9))]  # fmt: skip
UNLEARNED: list[tuple[str, Values]] = [
    *((name, {}) for name in unlearning.OWN),
    ("undial", {"positions": "answer"}),
    *(("npo", {"retain_loss": name}) for name in ("kl", "kl_answer")),
]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives one of two answers, a short and a long one, to every question."""
    folder = tmp_path_factory.mktemp("start")
    asked = [text for row in ROWS["dataset.rl"] for text in (row["prompt"], f"{row['prompt']} yes")]
    rows = [{"prompt": text, "completion": answer} for text in asked for answer in ANSWERS]
    what, settings = part("trl", "sft", catalog.HERE), {**SETTINGS["sft"], **SMALL, "lr": 5e-3, "steps": 60, "max_length": 64}
    job = train_job(catalog.rendered(what, {"settings": settings, "execution": {**EXECUTION, "micro_batch_size": 8}}),
                    rows, folder, "out", {"start": untrained(folder / "untrained")})  # fmt: skip
    train.run(job)
    return job.out


def is_told(what: Part, settings: Values) -> bool:
    """Whether the fingerprint tells one cut from another."""
    one, other = (what.decisive_config(settings, {**EXECUTION, "micro_batch_size": micro}) for micro in CUTS)
    return bool(one != other)


def updates(job: Any) -> list[float]:
    """The size of each update's gradient."""
    train.run(job)
    return [entry["grad_norm"] for entry in read_rows(job.out / "train_log.jsonl") if "grad_norm" in entry]


def is_seen(one: list[float], other: list[float]) -> bool:
    """Whether the cut decided them. What rounding makes is far below what a mean of means makes of ragged rows."""
    assert len(one) == len(other) > 0 and min(one) > 0
    apart = max(abs(left / right - 1) for left, right in zip(one, other, strict=True))
    assert not 1e-4 < apart < 1e-3
    return apart > 1e-3


@pytest.mark.parametrize(("name", "given"), TRL, ids=str)
def test_trls_fingerprints_tell_a_cut_where_it_decides(name: str, given: Values, start: Path, tmp_path: Path) -> None:
    what = part("trl", name, catalog.HERE)
    settings = {**SETTINGS[name], **(SAMPLED if name == "grpo" else SMALL), **given}
    assert is_told(what, settings) == is_seen(*trained(what, settings, start, tmp_path))


@pytest.mark.parametrize(("name", "given"), LEARNED, ids=str)
def test_what_learns_from_a_teacher_is_the_same_however_it_is_cut(
    name: str, given: Values, start: Path, tmp_path: Path
) -> None:
    what, found = values(name, **SAMPLED, **given)
    settings = {key: value for key, value in found["settings"].items() if key in what.takes("settings")}
    assert not is_told(what, settings) and not is_seen(*trained(what, settings, start, tmp_path))


def trained(what: Part, settings: Values, start: Path, folder: Path) -> list[list[float]]:
    """The updates of one training, for each cut."""
    models = {"start": start}
    if what.what == "distill":
        models["teacher"] = untrained(folder / "teacher", hidden=48, seed=1, spread=6.0)
    configs = [
        catalog.rendered(what, {"settings": settings, "execution": {**EXECUTION, "micro_batch_size": cut}}) for cut in CUTS
    ]
    return [
        updates(train_job(config, ROWS[str(what.reads)], folder, f"of-{cut}", models))
        for cut, config in zip(CUTS, configs, strict=True)
    ]


@pytest.mark.parametrize(("name", "given"), UNLEARNED, ids=str)
def test_unlearnings_fingerprints_tell_every_cut(name: str, given: Values, start: Path, tmp_path: Path) -> None:
    weight = {"alpha": 20.0} if "retain_loss" in unlearning.OWN[name] else {}  # else the forget term hides the other
    settings = {**unlearning.COMMON, **unlearning.OWN[name], **SMALL, **weight, **given}
    what = part("native", name, catalog.HERE)
    found = []
    for cut in CUTS:
        config = catalog.rendered(what, {"settings": settings, "execution": {**EXECUTION, "micro_batch_size": cut}})
        found.append(updates(unlearning.unlearning_job(config, tmp_path, start, f"of-{cut}", forget=RAGGED, retain=RAGGED)))
    assert is_told(what, settings) and is_seen(*found)


@pytest.mark.parametrize("name", [name for name in unlearning.OWN if name != "pdu"])
def test_unlearnings_fingerprints_tell_no_number_of_devices(name: str) -> None:
    """An update's micro-batches are the same on one device and on several, as long as their size is."""
    assert of_devices("native", name, {**unlearning.COMMON, **unlearning.OWN[name]}, 4) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [({}, True), ({"dual_update": "step"}, False), ({"dual_update": "epoch"}, False), ({"primal_dual": False}, False)],
)
def test_pdus_tells_it_where_each_device_has_a_variable_of_its_own(change: Values, told: bool) -> None:
    assert (of_devices("native", "pdu", {**unlearning.COMMON, **unlearning.OWN["pdu"], **change}, 4) > 1) == told


@pytest.mark.parametrize(
    ("name", "change", "micro", "told"),
    [
        ("dpo", {}, None, False), ("dpo", {"sft_coef": 1.0}, None, True), ("dpo", {"sft_coef": 1.0}, 4, False),
        ("dpo", {"loss_type": "aot"}, None, True), ("grpo", {}, None, False), ("grpo", {"loss_type": "bnpo"}, 4, True),
        ("sft", {}, None, False),
    ],
)  # fmt: skip
def test_trls_tell_it_where_devices_cut_the_update(name: str, change: Values, micro: int | None, told: bool) -> None:
    assert (of_devices("trl", name, {**SETTINGS[name], **change}, micro) > 1) == told


def of_devices(backend: str, name: str, settings: Values, micro: int | None) -> int:
    """How many fingerprints a training has on one device, on two and on four."""
    what = part(backend, name, catalog.HERE)
    run = [{**EXECUTION, "devices": devices, "micro_batch_size": micro} for devices in (1, 2, 4)]
    return len({str(what.decisive_config(settings, execution)) for execution in run})


def test_what_is_said_to_decide_is_an_execution_value_of_a_part() -> None:
    said = {file.parent.name: yaml.safe_load(file.read_text()).get("decisive", {}) for file in BACKENDS.glob("*/backend.yaml")}
    named = [
        (part(backend, name, catalog.HERE), one["value"])
        for backend, found in said.items()
        for name in found
        for one in found[name]
    ]
    assert named and all(value in what.takes("execution") for what, value in named)
