"""Unlearning on toy models through the job's own entry: what each objective does to a model that knows what it is to forget."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from runtime.errors import JobError
from runtime.jobs import train
from tests.runtime.toys import Rows, Values, log_probability, same, untrained
from tests.runtime.unlearning import ABOUT, EACH_VISIT, FORGET, METHODS, RETAIN, Make, config, history


def known(folder: Path, rows: Rows) -> float:
    """The mean log-probability of the rows' answers."""
    return fmean(log_probability(folder, row["prompt"], row["answer"]) for row in rows)


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
