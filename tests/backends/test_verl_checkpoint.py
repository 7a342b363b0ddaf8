"""What a training of VeRL leaves and what becomes of it: checkpoints by their steps, the start's tokenizer, planned updates."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from runtime.data.parquet import write_verl
from runtime.errors import JobError
from runtime.job import Input, Job
from runtime.models import train_tokenizer
from runtime.prompts import prompt_hash
from runtime.rewards import compute_score
from runtime.verl import checkpoint as verl_checkpoint
from tests.backends import catalog


def finished_run(folder: Path, rows: int, step: int | None, *, algorithm: str = "sft") -> Job:
    """A job whose output folder is what VeRL leaves after `step` updates on `rows` rows."""
    config = catalog.rendered(*catalog.algorithm(algorithm, "math"))
    start, data, out = folder / "start", folder / "data", folder / "out"
    for each in (start, data, out):
        each.mkdir()
    train_tokenizer(["What is 2+2? It is 4."], 300).save_pretrained(start)
    if algorithm == "sft":
        write_verl(
            data / "train.parquet", [{"id": i, "prompt": "?", "completion": "!"} for i in range(rows)], "dataset.sft", "truth"
        )
    else:
        asked = [{"id": i, "prompt": "2+2? " * (1000 if i == 0 else 1), "answer": "4"} for i in range(rows)]
        write_verl(data / "train.parquet", asked, "dataset.rl", "prompts")
    if step is not None:
        add_checkpoint(out, step, algorithm)
        (out / "latest_checkpointed_iteration.txt").write_text(f"{step}")
    inputs = {"start": Input("a", "checkpoint.hf", start, "f"), "data": Input("b", "dataset.sft", data, "f")}
    return Job("train/x", "train", "s", "f" * 64, None, config, inputs, out)


def model_folder(out: Path, step: int, algorithm: str) -> Path:
    return out / f"global_step_{step}" / ("actor" if algorithm == "grpo" else "")


def add_checkpoint(out: Path, step: int, algorithm: str) -> None:
    model = model_folder(out, step, algorithm)
    (model / "huggingface").mkdir(parents=True)
    (model / "model_world_size_1_rank_0.pt").touch()
    (model / "huggingface" / "chat_template.jinja").write_text("verl's")


def test_a_finished_run_points_at_its_model_with_the_starts_tokenizer(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 6)
    facts = verl_checkpoint.close(job)
    assert (facts["updates"], facts["rows"], facts["kept"]) == (6, 35, [6])
    final = job.out / "final"
    assert final.resolve() == job.out / "global_step_6" and not (final / "huggingface" / "chat_template.jinja").exists()
    assert (final / "huggingface" / "tokenizer.json").read_bytes() == (tmp_path / "start" / "tokenizer.json").read_bytes()
    assert verl_checkpoint.close(job)["updates"] == 6


def test_prompts_that_verl_leaves_out_are_not_counted(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 33, 6, algorithm="grpo")
    facts = verl_checkpoint.close(job)
    assert (facts["updates"], facts["rows"], facts["kept"]) == (6, 32, [6])
    assert facts["prompt_hash"] == prompt_hash(["Q: 2+2? \nA:"] * 32)
    assert (job.out / "final").resolve() == job.out / "global_step_6" / "actor"


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_every_checkpoint_that_verl_kept_has_the_name_of_its_step(tmp_path: Path, algorithm: str) -> None:
    job = finished_run(tmp_path, 35 if algorithm == "sft" else 33, 6, algorithm=algorithm)
    add_checkpoint(job.out, 2, algorithm)
    (job.out / "global_step_4").mkdir()  # one without shards is none
    assert verl_checkpoint.close(job)["kept"] == [2, 6]
    kept = job.out / "steps/2"
    assert kept.resolve() == model_folder(job.out, 2, algorithm) and kept.readlink().parts[:2] == ("..", "global_step_2")
    assert (kept / "huggingface/tokenizer.json").read_bytes() == (tmp_path / "start/tokenizer.json").read_bytes()
    assert not (kept / "huggingface/chat_template.jinja").exists()


def test_a_run_that_is_past_a_step_to_be_kept_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = finished_run(tmp_path, 35, 5)
    add_checkpoint(job.out, 2, "sft")
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 5, 6))
    assert (job.out / "global_step_5").exists() and capsys.readouterr().out == ""
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 3))
    assert "train/x has passed step 3 without keeping its checkpoint" in capsys.readouterr().out
    assert not list(job.out.glob("global_step_*")) and not (job.out / verl_checkpoint.LATEST).exists()
    verl_checkpoint.start_over_if_past(job.id, job.out, (2, 3))


def test_a_run_cut_short_is_no_result(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 5)
    with pytest.raises(verl_checkpoint.EndedEarly, match="ended at update 5 of 6") as caught:
        verl_checkpoint.close(job)
    assert caught.value.exit_code == 75 and not (job.out / "final").exists()


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="saved no checkpoint"):
        verl_checkpoint.close(finished_run(tmp_path, 35, None))


def test_a_pointer_to_nothing_says_so(tmp_path: Path) -> None:
    job = finished_run(tmp_path, 35, 6)
    (job.out / "global_step_6" / "model_world_size_1_rank_0.pt").unlink()
    with pytest.raises(JobError, match="holds no model shards"):
        verl_checkpoint.close(job)


@pytest.mark.parametrize(
    ("rows", "updates"), [(7473, 1401), (7397, 1386), (7500, 1404), (6946, 1302), (3151, 588), (6568, 1230)]
)
def test_planned_updates_are_the_studys(rows: int, updates: int) -> None:
    """The six supervised runs of the study: 3 epochs of whole batches of 16."""
    config = catalog.rendered(*catalog.algorithm("sft", "math"))
    assert verl_checkpoint.planned_updates(config, rows) == updates


def test_steps_win_over_epochs_and_too_few_rows_are_an_error() -> None:
    what, values = catalog.algorithm("sft", "math")
    with pytest.raises(JobError, match="15 rows do not fill one batch of 16"):
        verl_checkpoint.planned_updates(catalog.rendered(what, values), 15)
    values["settings"] |= {"epochs": None, "steps": 12}
    assert verl_checkpoint.planned_updates(catalog.rendered(what, values), 5) == 12


def test_verls_parquet_has_the_columns_that_the_configs_name(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    write_verl(file, [{"id": "a", "prompt": "?", "answer": "4"}], "dataset.rl", "prompts")
    config = catalog.rendered(*catalog.algorithm("grpo", "math"))
    row = pyarrow.parquet.read_table(file).to_pylist()[0]
    assert {config["data"]["prompt_key"], config["data"]["reward_fn_key"], "reward_model", "extra_info"} <= set(row)
    found = compute_score(
        row["data_source"], "\\boxed{4}", row["reward_model"]["ground_truth"], row["extra_info"], grader="math"
    )
    assert found == 1.0
