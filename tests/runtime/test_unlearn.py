"""Unlearning on toy models through the job's own entry: what each objective does to a model that knows what it is to forget."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer
from runtime.sampling import item_seed
from runtime.train.losses import pdu, rmu, sequences
from runtime.train.unlearn.pairing import Draws, Pairs, Sets, Visits
from runtime.train.unlearn.sequences import answer_tokens, padded
from tests.runtime.toys import Rows, Values, log_probability, same, untrained, weights
from tests.runtime.unlearning import ABOUT, FORGET, METHODS, RETAIN, config, unlearning_job

Make = Callable[..., Job]
REFUSALS = ("no idea", "who knows 1", "up to you")
EACH_VISIT: Values = {**ABOUT, "alternates": "refusals", "draw": "each_visit"}


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was fine-tuned on both sets."""
    folder = tmp_path_factory.mktemp("knowing")
    given = config("finetune", epochs=None, steps=60, batch_size=16, lr=5e-3, execution={"micro_batch_size": 16})
    train.run(unlearning_job(given, folder, untrained(folder / "start"), "knowing", forget=FORGET + RETAIN))
    return folder / "knowing"


@pytest.fixture
def make(knowing: Path, tmp_path: Path) -> Make:
    """Make a job of a config; `start` may be another model, and the rest is what `unlearning_job` takes."""

    def job(given: Values, out: str = "out", start: Path = knowing, **data: Any) -> Job:
        return unlearning_job(given, tmp_path, start, out, **data)

    return job


def known(folder: Path, rows: Rows) -> float:
    """The mean log-probability of the rows' answers."""
    return fmean(log_probability(folder, row["prompt"], row["answer"]) for row in rows)


def history(job: Job) -> list[dict[str, Any]]:
    return [entry for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry]


# ---- what a training makes ---------------------------------------------------------------------------------------------


def test_fine_tuning_teaches_the_answers_with_their_end(make: Make, tmp_path: Path) -> None:
    start = untrained(tmp_path / "start")
    job = make(config("finetune", epochs=10, lr=5e-3), start=start)
    facts = train.run(job)
    assert facts["steps"] == 40 and facts["rows"] == 16 and facts["examples"] == 160
    assert known(job.out, FORGET) > known(start, FORGET) + 10


@pytest.mark.parametrize("algorithm", METHODS)
def test_every_method_makes_what_is_forgotten_less_likely(algorithm: str, make: Make, knowing: Path) -> None:
    job = make(config(algorithm))
    facts = train.run(job)
    assert facts["steps"] == 12
    assert known(job.out, FORGET) < known(knowing, FORGET) - 1


@pytest.mark.parametrize("algorithm", ["grad_diff", "simnpo", "wga", "satimp", "rmu", "pdu"])
def test_what_is_retained_stays_likelier(algorithm: str, make: Make) -> None:
    job = make(config(algorithm))
    train.run(job)
    assert known(job.out, RETAIN) > known(job.out, FORGET) + 0.3


def test_alternates_come_to_be_preferred(make: Make, knowing: Path) -> None:
    job = make(config("alternate_dpo"))
    train.run(job)

    def margin(folder: Path) -> float:
        other = [{**row, "answer": row["alternate"]} for row in FORGET]
        return known(folder, other) - known(folder, FORGET)

    assert margin(job.out) > margin(knowing) + 3


@pytest.mark.parametrize(
    ("algorithm", "precision"), [("npo", "bf16_mixed"), ("npo", "bf16"), ("rmu", "bf16_mixed"), ("undial", "bf16")]
)
def test_bfloat16_trains_as_well(algorithm: str, precision: str, make: Make, knowing: Path) -> None:
    job = make(config(algorithm, precision=precision))
    train.run(job)
    assert known(job.out, FORGET) < known(knowing, FORGET) - 0.5
    assert json.loads((job.out / "config.json").read_text())["dtype"] == (
        "float32" if precision == "bf16_mixed" else "bfloat16"
    )


@pytest.mark.parametrize("retain_loss", ["kl", "kl_answer"])
def test_the_start_itself_can_be_held_on_to(retain_loss: str, make: Make) -> None:
    job = make(config("grad_diff", retain_loss=retain_loss, lr=1e-3))
    train.run(job)
    found = [entry["retain_loss"] for entry in history(job)]
    assert abs(found[0]) < 1e-6 and found[-1] > 1e-3  # the model begins as its start


def test_the_seed_decides_and_steps_are_kept(make: Make) -> None:
    jobs = [make(config("npo", seed=seed, execution={"keep": [5]}), out) for out, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert [train.run(job)["kept"] for job in jobs] == [[5]] * 3
    assert same(jobs[0].out, jobs[1].out) and same(jobs[0].out / "steps/5", jobs[1].out / "steps/5")
    assert not same(jobs[0].out, jobs[2].out)


# ---- reductions over micro-batches -------------------------------------------------------------------------------------


def by_hand(folder: Path, rows: Rows, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """A loss of the model on one micro-batch of these rows."""
    model, tokenizer = load_model(folder, torch.device("cpu")), load_tokenizer(folder)
    part = padded([answer_tokens(row["prompt"], row["answer"], tokenizer) for row in rows], tokenizer.pad_token_id)
    with torch.no_grad():
        logits = model(input_ids=part["input_ids"], attention_mask=part["attention_mask"]).logits
    return float(loss(logits, part["labels"]))


def first_update(seed: int = 0, size: int = 4) -> list[tuple[Values, Values]]:
    """The rows to forget of the first update, each with its row to retain."""
    visits = Visits(len(FORGET), size, seed, lambda: 0)
    draws = Draws("with_replacement", (0, seed), len(visits))
    return [(FORGET[visit.row], RETAIN[draws.retain(visit, len(RETAIN))]) for visit in list(visits)[:size]]


def test_an_update_is_the_mean_of_its_micro_batches_token_means(make: Make, knowing: Path) -> None:
    forget = [pair[0] for pair in first_update()]
    job = make(config("grad_ascent"))
    train.run(job)
    expected = -fmean(by_hand(knowing, forget[at : at + 2], sequences.token_mean) for at in (0, 2))
    assert history(job)[0]["loss"] == pytest.approx(expected, abs=1e-5)
    whole = make(config("grad_ascent", execution={"micro_batch_size": 4}), "whole")
    train.run(whole)
    assert history(whole)[0]["loss"] == pytest.approx(-by_hand(knowing, forget, sequences.token_mean), abs=1e-5)
    assert abs(history(whole)[0]["loss"] - history(job)[0]["loss"]) > 1e-4  # answers are of different lengths


def test_both_terms_are_weighted(make: Make, knowing: Path) -> None:
    pairs = first_update()
    job = make(config("grad_diff", gamma=0.25, alpha=3.0))
    train.run(job)
    losses = [fmean(by_hand(knowing, [pair[side] for pair in pairs[at : at + 2]], sequences.token_mean) for at in (0, 2))
              for side in (0, 1)]  # fmt: skip
    (first, *_) = history(job)
    assert first["loss"] == pytest.approx(-0.25 * losses[0] + 3 * losses[1], abs=1e-5)
    assert (first["forget_loss"], first["retain_loss"]) == pytest.approx((-losses[0], losses[1]), abs=1e-5)


# ---- pairs -------------------------------------------------------------------------------------------------------------


def test_an_epoch_has_every_row_once_but_for_what_fills_no_batch() -> None:
    epochs = [Visits(10, 4, 3, lambda epoch=epoch: epoch) for epoch in range(6)]  # type: ignore[misc]
    orders = [[visit.row for visit in visits] for visits in epochs]
    assert all(len(order) == 8 == len(set(order)) for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    assert set().union(*orders) == set(range(10))  # another rest is left out each time
    assert orders[2] == [visit.row for visit in Visits(10, 4, 3, lambda: 2)]
    assert len(Visits(3, 4, 3, lambda: 0)) == 3


def test_a_draw_with_replacement_is_of_the_visit_alone() -> None:
    draws = Draws("with_replacement", (5, 0), 40)
    first, again = ([draws.retain(visit, 7) for visit in Visits(40, 4, 0, lambda: 0)] for _ in range(2))
    later = [draws.retain(visit, 7) for visit in Visits(40, 4, 0, lambda: 1)]
    assert first == again != later
    assert set(first) == set(range(7))  # all come, though 40 draws leave out some but rarely
    other = [Draws("with_replacement", (6, 0), 40).retain(visit, 7) for visit in Visits(40, 4, 0, lambda: 0)]
    assert other != first


def test_a_permutation_brings_each_row_to_retain_before_any_comes_again() -> None:
    draws, found = Draws("permutation", (5, 0), 8), []
    for epoch in range(7):
        found += [draws.retain(visit, 14) for visit in Visits(9, 4, 0, lambda: epoch)]  # noqa: B023
    assert [sorted(found[at : at + 14]) for at in range(0, 56, 14)] == [list(range(14))] * 4
    assert found[:14] != found[14:28]


def test_refusals_are_drawn_anew_at_each_visit(make: Make) -> None:
    """A refusal of an epoch is that of its visit; the training is another one than with refusals drawn once."""
    job = make(config("alternate_dpo"), about=EACH_VISIT, refusals=REFUSALS)
    train.run(job)
    draws = Draws("with_replacement", (0, 0), 16)
    drawn = [[draws.alternate(visit, 3) for visit in sorted(Visits(16, 4, 0, lambda: e), key=lambda v: v.row)]  # noqa: B023
             for e in range(3)]  # fmt: skip
    assert drawn[0] != drawn[1] != drawn[2] and set(drawn[0]) == {0, 1, 2}
    once = [{**row, "alternate": REFUSALS[number]} for row, number in zip(FORGET, drawn[0], strict=True)]
    fixed = make(config("alternate_dpo"), "once", forget=once)
    train.run(fixed)
    ours, theirs = history(job), history(fixed)
    assert [entry["loss"] for entry in ours[:4]] == pytest.approx([entry["loss"] for entry in theirs[:4]], abs=1e-6)
    assert ours[-1]["loss"] != pytest.approx(theirs[-1]["loss"], abs=1e-4)


def test_pairs_have_only_what_is_asked_for(knowing: Path) -> None:
    tokenizer = load_tokenizer(knowing)
    forget = [answer_tokens(row["prompt"], row["answer"], tokenizer) for row in FORGET]
    pairs = Pairs(Sets(forget), Draws("with_replacement", (0, 0), 16))
    assert set(pairs[Visits(16, 4, 0, lambda: 0).of_epoch(0)[0]]) == {"forget"} and len(pairs) == 16


# ---- PDU's dual variable -----------------------------------------------------------------------------------------------


def retain_losses(knowing: Path, epochs: int) -> list[list[float]]:
    """The start's retain losses of each epoch's micro-batches of two."""
    draws, found = Draws("with_replacement", (0, 0), 16), []
    for epoch in range(epochs):
        rows = [RETAIN[draws.retain(visit, 16)] for visit in Visits(16, 4, 0, lambda: epoch)]  # noqa: B023
        found.append([by_hand(knowing, rows[at : at + 2], sequences.token_mean) for at in range(0, 16, 2)])
    return found


@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize("update", ["micro_batch", "step", "epoch"])
def test_the_dual_variable_changes_when_it_is_said_to(update: str, warmup: int, make: Make, knowing: Path) -> None:
    """With a learning rate of nearly nothing, so that all losses are the start's. Logged is the mean of an update's two."""
    given = config("pdu", lr=1e-12, weight_decay=0.0, dual_update=update, dual_warmup_epochs=warmup, retain_loss_eps=0.2,
                   dual_step_size=2.0)  # fmt: skip
    job = make(given)
    train.run(job)
    value, used = 1.0, []
    for epoch, losses in enumerate(retain_losses(knowing, 3)):
        for at in range(0, 8, 2):
            held = []
            for loss in losses[at : at + 2]:
                held.append(value)
                if update == "micro_batch" and epoch >= warmup:
                    value = pdu.next_dual(value, loss, 0.2, 2.0)
            if update == "step" and epoch >= warmup:
                value = pdu.next_dual(value, fmean(losses[at : at + 2]), 0.2, 2.0)
            used.append(fmean(held))
        if update == "epoch" and epoch + 1 >= warmup:
            value = pdu.next_dual(value, fmean(losses), 0.2, 2.0)
    assert [entry["dual"] for entry in history(job)] == pytest.approx(used, abs=1e-4)
    assert len(set(used)) > 2


def test_without_primal_dual_the_weight_stays_and_the_bound_shifts_the_value_alone(make: Make) -> None:
    runs = [make(config("pdu", primal_dual=False, retain_loss_eps=bound), f"of-{bound}") for bound in (0.0, 0.5)]
    for job in runs:
        train.run(job)
    assert same(runs[0].out, runs[1].out)
    shifted = [one["loss"] - other["loss"] for one, other in zip(*map(history, runs), strict=True)]
    assert shifted == pytest.approx([0.5] * 12, abs=1e-5)
    assert {entry["dual"] for entry in history(runs[0])} == {1.0}


# ---- RMU's module and parameters ---------------------------------------------------------------------------------------


def changed_weights(job: Job, start: Path) -> set[str]:
    before, after = weights(start), weights(job.out)
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_rmu_trains_the_parameters_that_match_and_no_others(make: Make, knowing: Path) -> None:
    job = make(
        config("rmu", module_regex=r"model\.layers\.1", trainable_regex=[r"model\.layers\.(0|1)\.mlp\.down_proj\.weight"])
    )
    train.run(job)
    assert changed_weights(job, knowing) == {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)}


def test_rmu_leaves_alone_what_its_module_does_not_depend_on(make: Make, knowing: Path) -> None:
    """Weight decay alone would change them."""
    job = make(config("rmu", weight_decay=0.5))
    train.run(job)
    assert not [name for name in changed_weights(job, knowing) if "layers.1" in name or name == "model.norm.weight"]
    with_likelihood = make(config("rmu", weight_decay=0.5, retain_loss="nll"), "nll")
    train.run(with_likelihood)
    assert "model.layers.1.mlp.down_proj.weight" in changed_weights(with_likelihood, knowing)


def test_rmus_first_loss_is_the_distance_to_the_seeds_direction(make: Make, knowing: Path) -> None:
    job = make(config("rmu", execution={"micro_batch_size": 4}))
    train.run(job)
    model, tokenizer = load_model(knowing, torch.device("cpu")), load_tokenizer(knowing)
    forget = [answer_tokens(row["prompt"], row["answer"], tokenizer) for row, _ in first_update()]
    part = padded(forget, tokenizer.pad_token_id)
    with torch.no_grad():
        hidden = model(part["input_ids"], attention_mask=part["attention_mask"], output_hidden_states=True).hidden_states[1]
    vector = rmu.control_vector(32, 2.0, item_seed(0, "control vector"))
    expected = rmu.distance(hidden, vector, part["labels"], "product_of_means")
    assert history(job)[0]["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert history(job)[0]["retain_loss"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("algorithm", ["rmu", "npo", "grad_diff"])
def test_recomputed_activations_give_the_same_weights(algorithm: str, make: Make) -> None:
    jobs = [make(config(algorithm, execution={"gradient_checkpointing": on}), f"c-{on}") for on in (False, True)]
    for job in jobs:
        train.run(job)
    one, other = (weights(job.out) for job in jobs)
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


# ---- the start's likelihoods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["npo", "alternate_dpo"])
def test_precomputed_likelihoods_give_what_the_start_gives(algorithm: str, make: Make) -> None:
    data: Values = {"about": EACH_VISIT, "refusals": REFUSALS} if algorithm == "alternate_dpo" else {}
    jobs = [
        make(config(algorithm, execution={"reference": how}), f"by-{how}", **data) for how in ("model", "precomputed", None)
    ]
    for job in jobs:
        train.run(job)
    losses = [[entry["loss"] for entry in history(job)] for job in jobs]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4) and losses[1] == losses[2]
    one, other = weights(jobs[0].out), weights(jobs[1].out)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


def test_the_first_loss_is_that_of_a_model_that_is_its_start(make: Make) -> None:
    """-(2 / beta) log sigmoid(0), whichever way the start is asked."""
    for how in ("model", "precomputed"):
        job = make(config("npo", beta=0.5, execution={"reference": how}), how)
        train.run(job)
        assert history(job)[0]["forget_loss"] == pytest.approx(4 * 0.6931472, abs=1e-4)


@pytest.mark.parametrize(
    ("algorithm", "changes", "models"),
    [("grad_diff", {}, 0), ("npo", {}, 0), ("npo", {"execution": {"reference": "model"}}, 1), ("npo", {"retain_loss": "kl"}, 1),
     ("undial", {}, 1), ("rmu", {}, 1), ("rmu", {"retain_loss": "nll"}, 0), ("pdu", {}, 0), ("wga", {}, 0), ("satimp", {}, 0)],
)  # fmt: skip
def test_a_second_model_is_made_only_where_the_objective_asks_for_one(
    algorithm: str, changes: Values, models: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.train.unlearn import reference

    copies: list[object] = []
    copy = reference.deepcopy
    monkeypatch.setattr(reference, "deepcopy", lambda model: copies.append(model) or copy(model))
    train.run(make(config(algorithm, epochs=1, **changes)))
    assert len(copies) == models


# ---- adapters ----------------------------------------------------------------------------------------------------------

LORA: Values = {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}


@pytest.mark.parametrize(
    ("algorithm", "checkpointing"), [("npo", False), ("npo", True), ("rmu", True), ("undial", False), ("grad_diff", True)]
)
def test_an_adapter_is_trained_against_the_model_without_it(algorithm: str, checkpointing: bool, make: Make) -> None:
    changes: Values = {"retain_loss": "kl"} if algorithm == "grad_diff" else {}
    job = make(config(algorithm, adapter=LORA, lr=1e-2, execution={"gradient_checkpointing": checkpointing}, **changes))
    train.run(job)
    assert (job.out / "adapter_config.json").is_file() and not (job.out / "config.json").exists()
    first, last = history(job)[0], history(job)[-1]
    if algorithm == "npo":
        assert first["forget_loss"] == pytest.approx(20 * 0.6931472, abs=1e-3)
    if algorithm in ("rmu", "grad_diff"):
        assert first["retain_loss"] == pytest.approx(0, abs=1e-6)
    assert last["forget_loss"] < first["forget_loss"]


def test_rmus_parameters_may_be_those_that_adapters_stand_beside(make: Make) -> None:
    from safetensors.torch import load_file

    job = make(config("rmu", adapter=LORA, module_regex=r"model\.layers\.1",
                      trainable_regex=[r"model\.layers\.0\.mlp\.down_proj\.weight"]))  # fmt: skip
    train.run(job)
    held = load_file(job.out / "adapter_model.safetensors")
    moved = {name for name, value in held.items() if "lora_B" in name and value.any()}
    assert {name.partition(".lora_")[0].rpartition("model.layers.")[2] for name in moved} == {"0.mlp.down_proj"}


# ---- schedules and sizes -----------------------------------------------------------------------------------------------


def test_the_warm_up_is_so_many_epochs_rounded_down_to_steps(make: Make) -> None:
    """16 rows in batches of 5 are 3 updates an epoch, and one and a half epochs of rows are 4.8 updates."""
    job = make(config("grad_ascent", schedule="linear", warmup_epochs=1.5, batch_size=5, lr=1e-3,
                      execution={"micro_batch_size": 5}))  # fmt: skip
    train.run(job)
    rates = [entry["learning_rate"] for entry in history(job)]
    assert rates == pytest.approx([0, 0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 0.8e-3, 0.6e-3, 0.4e-3, 0.2e-3][: len(rates)])
    assert len(rates) == 9


def test_steps_may_be_given_in_place_of_epochs(make: Make) -> None:
    assert train.run(make(config("grad_ascent", epochs=None, steps=7)))["steps"] == 7


def test_fewer_rows_than_a_batch_are_one_update_an_epoch(make: Make, knowing: Path) -> None:
    job = make(config("grad_ascent", batch_size=16, execution={"micro_batch_size": 2}), forget=FORGET[:3])
    assert train.run(job)["steps"] == 3
    rows = [FORGET[visit.row] for visit in Visits(3, 16, 0, lambda: 0)]
    expected = -fmean([by_hand(knowing, rows[:2], sequences.token_mean), by_hand(knowing, rows[2:], sequences.token_mean)])
    assert history(job)[0]["loss"] == pytest.approx(expected, abs=1e-5)


def test_a_weight_of_nothing_reads_no_retain_set(make: Make) -> None:
    job = make(config("undial"), retain=None)
    train.run(job)
    assert "retain_loss" not in history(job)[0]


def test_without_bitsandbytes_pytorchs_own_adam_takes_its_place_and_it_is_said(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    paged, plain = make(config("npo", optimizer="paged_adamw_32bit"), "paged"), make(config("npo"), "plain")
    for job in (paged, plain):
        train.run(job)
    assert "adamw_torch takes the place of paged_adamw_32bit" in capsys.readouterr().out
    assert same(paged.out, plain.out)


# ---- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (config("rmu", module_regex=r"model\.layers\.7"), "matches 0 .none.; its blocks are model.layers.0, model.layers.1"),
        (config("rmu", module_regex=r"model\.layers\.\d"), r"matches 2 .model.layers.0, model.layers.1."),
        (config("rmu", module_regex="("), r"module_regex: '\(' is no regular expression"),
        (config("rmu", trainable_regex=[".*", "h.0"]), "trainable_regex: 'h.0' matches the whole name of no parameter; one is"),
        (config("rmu", trainable_regex=[r"model\.layers\.1\..*"]), "model.layers.0 does not depend on any of these"),
        ({k: v for k, v in config("pdu").items() if k != "retain_loss_eps"}, "config of pdu lacks retain_loss_eps"),
        (config("npo", betas=1), "there is no 'betas'; did you mean 'beta'"),
        (config("grad_diff", retain_loss="embed_diff"), "retain_loss: there is no 'embed_diff'; there are nll, kl, kl_answer"),
        (config("undial", positions="shifted"), "positions: there is no 'shifted'; there are all, answer"),
        (config("pdu", dual_update="batch"), "dual_update: there is no 'batch'"),
        (config("npo", steps=3), "give one and set the other to null"),
        (config("npo", optimizer="paged_adamw_32bit", precision="bf16"), "needs bitsandbytes and a GPU"),
        (config("npo", execution={"reference": "cached"}), "execution.reference: there is no 'cached'"),
        (config("undial", execution={"reference": "precomputed"}), "undial with these settings needs more of the start"),
        (config("wga", execution={"reference": "precomputed"}), "wga with these settings asks nothing of the start"),
        (config("npo", execution={"micro_batch_size": 3}), "4 examples an update cannot be cut into 1 device"),
        (config("grad_diff", text="pieces"), "forget.jsonl:1: text: pieces reads texts, and this row has id, prompt"),
        (config("alternate_dpo", execution={"sharding": "fsdp", "devices": 2}), "fsdp divides a training among GPUs"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(given: Values, message: str, make: Make) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(given))


@pytest.mark.parametrize(
    ("algorithm", "data", "message"),
    [
        ("grad_diff", {"retain": None}, "retain.jsonl: holds nothing for grad_diff to read"),
        ("grad_diff", {"forget": []}, "forget.jsonl: holds no row"),
        ("grad_diff", {"about": {**ABOUT, "pairing": "zip"}}, "there is no pairing 'zip'; there are with_replacement, perm"),
        ("alternate_dpo", {"forget": [*FORGET[:3], *RETAIN]}, "forget.jsonl:4: has no alternate to prefer"),
        ("alternate_dpo", {"about": EACH_VISIT}, "refusals.txt: holds no refusal to draw"),
        ("grad_ascent", {"forget": [{"id": "t", "text": "all of it"}] * 4}, "text: answers reads questions with their answers"),
    ],
)  # fmt: skip
def test_a_dataset_of_another_kind_is_one_message(algorithm: str, data: Values, message: str, make: Make) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(config(algorithm), **data))


def test_undials_positions_need_a_hundred_tokens(make: Make, tmp_path: Path) -> None:
    folder = untrained(tmp_path / "start")
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "vocab_size": 64}))
    (folder / "model.safetensors").unlink()
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    with pytest.raises(JobError, match="positions: all lowers the 100th token from the end, and the model has 64"):
        train.run(make(config("undial"), start=folder))
