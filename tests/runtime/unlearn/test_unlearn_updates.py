"""What an update of unlearning is made of, held against sums by hand: micro-batches, pairs, dual variable, modules, start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
import torch

from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer
from runtime.sampling import item_seed
from runtime.train.losses import pdu, rmu, sequences
from runtime.train.unlearn.pairing import Draws, Pairs, Sets, Visits
from runtime.train.unlearn.sequences import answer_tokens, padded
from tests.runtime.toys import Rows, Values, same, weights
from tests.runtime.unlearning import EACH_VISIT, FORGET, RETAIN, Make, config, history

REFUSALS = ("no idea", "who knows 1", "up to you")


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


def test_fewer_rows_than_a_batch_are_one_update_an_epoch(make: Make, knowing: Path) -> None:
    job = make(config("grad_ascent", batch_size=16, execution={"micro_batch_size": 2}), forget=FORGET[:3])
    assert train.run(job)["steps"] == 3
    rows = [FORGET[visit.row] for visit in Visits(3, 16, 0, lambda: 0)]
    expected = -fmean([by_hand(knowing, rows[:2], sequences.token_mean), by_hand(knowing, rows[2:], sequences.token_mean)])
    assert history(job)[0]["loss"] == pytest.approx(expected, abs=1e-5)


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
