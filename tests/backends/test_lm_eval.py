"""lm-eval takes the configs, and what it leaves becomes scores. The run is a real one of lm-eval 0.4.13, of its dummy model."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.config.evaluate_config import EvaluatorConfig

from runtime.data.rows import read_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.lm_eval_results import collect, leaves
from tests.backends import catalog

CHOICE = {
    "dataset_path": "json", "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{q}}",
    "doc_to_choice": "{{c}}", "doc_to_target": "{{a}}",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
}  # fmt: skip
TEXT = {
    "dataset_path": "json", "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{q}}",
    "doc_to_target": "{{a}}", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip
GROUP = {"group": "toy", "task": ["toy_one", "toy_two"], "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
METRICS = {"choice": "acc_norm,none", "text": "exact_match,none", "toy": "acc,none"}


def toy_suite(**settings: Any) -> tuple[Any, dict[str, Any]]:
    part, values = catalog.suite("forgetting")
    values["settings"] |= {"model": "dummy", "tasks": METRICS, **settings}
    values["execution"] |= {"device": "cpu"}
    return part, values


def test_lm_eval_takes_the_studys_config(tmp_path: Path) -> None:
    part, values = catalog.suite("forgetting")
    assert catalog.wrong(part, values) == []
    file = tmp_path / "config.yaml"
    file.write_text(catalog.text(part, values))
    seen = asdict(EvaluatorConfig.from_config(file))
    assert (
        len(seen["tasks"]) == 10 and seen["num_fewshot"] == 0 and seen["apply_chat_template"] is False and seen["log_samples"]
    )
    assert seen["model_args"] == {"pretrained": "checkpoint", "dtype": "bfloat16", "attn_implementation": "sdpa"}
    assert seen["seed"] == [1234] * 4 and seen["batch_size"] == 16 and seen["limit"] is None


def test_lm_eval_refuses_a_key_it_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(catalog.text(*catalog.suite("forgetting")) + "temperature: 0\n")
    with pytest.raises(TypeError, match="unexpected keyword argument 'temperature'"):
        EvaluatorConfig.from_config(file)


def test_the_studys_tasks_are_tasks_of_lm_eval_with_those_metrics() -> None:
    """Read from lm-eval's own task files: each names the metric, or is one whose metrics lm-eval adds itself."""
    import lm_eval

    found: dict[str, str] = {}
    for file in (Path(lm_eval.__file__).parent / "tasks").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith(("task: ", "group: ")):
                found.setdefault(line.split(": ")[1].strip(), text)
    for task, metric in catalog.suite("forgetting")[1]["settings"]["tasks"].items():
        name = metric.split(",")[0]
        assert task in found, task
        text = found[task]
        assert f"metric: {name}" in text or "include: " in text, (task, metric)


MUTATIONS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("unknown key", lambda v: v["settings"].update(fewshot=0), "settings: Additional properties"),
    ("no metric's filter", lambda v: v["settings"]["tasks"].update(piqa="acc"), "settings.tasks.piqa: 'acc' does not match"),
    ("path as task", lambda v: v["settings"]["tasks"].update({"a/b": "acc,none"}), "settings.tasks: 'a/b' does not match"),
    ("no task", lambda v: v["settings"].update(tasks={}), "settings.tasks: {} should be non-empty"),
    ("model", lambda v: v["settings"].update(model="gguf"), "settings.model: 'gguf' is not one of"),
    ("limit", lambda v: v["settings"].update(limit=0), "settings.limit: 0 is less than"),
    ("batch", lambda v: v["execution"].update(batch_size="all"), "execution.batch_size: 'all' does not match"),
    ("device", lambda v: v["execution"].update(device="tpu"), "execution.device: 'tpu' is not one of"),
]


@pytest.mark.parametrize(("mutate", "message"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS])
def test_the_schema_refuses(mutate: Callable[[dict[str, Any]], object], message: str) -> None:
    part, values = catalog.suite("forgetting")
    mutate(values)
    assert any(found.startswith(message) for found in catalog.wrong(part, values)), catalog.wrong(part, values)


# --- a real run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder after the job's own script lines ran lm-eval on five small tasks."""
    folder = tmp_path_factory.mktemp("lm_eval")
    _write_tasks(folder / "tasks")
    out, model = folder / "out", folder / "model"
    out.mkdir()
    model.mkdir()
    part, values = toy_suite()
    config = folder / "config.yaml"
    config.write_text(catalog.text(part, values) + f"include_path: {folder / 'tasks'}\n")
    script = part.render_launch(values["settings"], values["execution"], {})
    around = 'exec python -m runtime launch "$LETHE_CONTRACT" '
    _, found, script = script.partition(around)
    assert found
    environment = {
        **os.environ, "LETHE_OUT": str(out), "LETHE_CONFIG": str(config), "LETHE_IN_MODEL": str(model), "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "cache"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def _write_tasks(folder: Path) -> None:
    folder.mkdir()
    rows: Mapping[str, list[dict[str, Any]]] = {
        "choice": [{"q": f"q{i}", "c": ["x", "yy", "zzz"], "a": i % 3} for i in range(5)],
        "toy_one": [{"q": f"p{i}", "c": ["x", "yy"], "a": i % 2} for i in range(3)],
        "toy_two": [{"q": f"r{i}", "c": ["x", "yy"], "a": i % 2} for i in range(6)],
        "text": [{"q": f"t{i}", "a": "lol" if i else "no"} for i in range(4)],
    }
    for name, found in rows.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in found))
        task = {"task": name, **(TEXT if name == "text" else CHOICE), "dataset_kwargs": {"data_files": {"test": str(data)}}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
    (folder / "toy.yaml").write_text(yaml.safe_dump(GROUP))


def job(out: Path, **metrics: str) -> Job:
    config = copy.deepcopy(catalog.rendered(*toy_suite()))
    config["metadata"]["metrics"] |= metrics
    return Job("evaluate/x.forgetting", "evaluate", "s", "f" * 64, None, config, {}, out)


@pytest.fixture
def out(real_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real_run, tmp_path / "out", symlinks=True))


def test_scores_leave_no_link_to_the_model(out: Path) -> None:
    assert (out / "checkpoint").is_symlink()
    collect(job(out))
    assert sorted(path.name for path in out.iterdir()) == ["items.jsonl", "raw", "scores.json"]


def test_a_run_becomes_scores(out: Path) -> None:
    facts = collect(job(out))
    written = json.loads((out / "scores.json").read_text())
    assert (written["suite"], written["version"]) == ("forgetting", 1)
    raw = json.loads(next((out / "raw").glob("results_*.json")).read_text())["results"]
    for task, metric in METRICS.items():
        score = written["tasks"][task]
        assert score["accuracy"] == facts[task] == raw[task][metric]
        assert score["n"] == {"choice": 5, "text": 4, "toy": 9}[task] and score["correct"] == round(
            score["accuracy"] * score["n"]
        )
    assert written["tasks"]["text"] == {**written["tasks"]["text"], "n": 4, "correct": 3, "accuracy": 0.75}


def test_every_item_is_kept(out: Path) -> None:
    collect(job(out))
    items = read_rows(out / "items.jsonl")
    assert len(items) == 18 and len({(item["task"], item["id"]) for item in items}) == 18
    assert {item["id"].split("/")[0] for item in items if item["task"] == "toy"} == {"toy_one", "toy_two"}
    text = [item for item in items if item["task"] == "text"]
    assert [item["correct"] for item in text] == [False, True, True, True] and {item["output"] for item in text} == {"lol"}
    choice = next(item for item in items if item["task"] == "choice")
    assert len(json.loads(choice["output"])) == 3 and all(value < 0 for value in json.loads(choice["output"]))


def test_the_same_questions_have_the_same_hash_and_others_another(out: Path) -> None:
    collect(job(out))
    hashes = {task: score["prompt_hash"] for task, score in json.loads((out / "scores.json").read_text())["tasks"].items()}
    assert len(set(hashes.values())) == 3
    collect(job(out))
    assert hashes["toy"] == json.loads((out / "scores.json").read_text())["tasks"]["toy"]["prompt_hash"]


def test_a_score_between_0_and_1_counts_in_the_accuracy_and_is_right_from_a_half(out: Path) -> None:
    """truthfulqa_mc2 gives each question the share of probability on its true answers."""
    _set_scores(out, "choice", [0.9, 0.5, 0.4, 0.1, 0.1], 0.4)
    collect(job(out))
    score = json.loads((out / "scores.json").read_text())["tasks"]["choice"]
    assert math.isclose(score["accuracy"], 0.4) and score["correct"] == 2


def _set_scores(out: Path, task: str, scores: list[float], accuracy: float) -> None:
    file = next((out / "raw").glob(f"samples_{task}_*.jsonl"))
    rows = [row | {"acc_norm": score} for row, score in zip(read_rows(file), scores, strict=True)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = next((out / "raw").glob("results_*.json"))
    found = json.loads(results.read_text())
    found["results"][task]["acc_norm,none"] = accuracy
    results.write_text(json.dumps(found))


def test_a_lost_item_is_an_error(out: Path) -> None:
    file = next((out / "raw").glob("samples_text_*.jsonl"))
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[1:]))
    with pytest.raises(JobError, match=r"text: lm-eval's exact_match,none is 0\.75, but its 3 items have the mean 1"):
        collect(job(out))


def test_a_metric_that_the_task_does_not_have_is_an_error(out: Path) -> None:
    with pytest.raises(JobError, match="no metric 'acc' to text; it has exact_match"):
        collect(job(out, text="acc,none"))
    with pytest.raises(JobError, match="gave no 'exact_match,strict'"):
        collect(job(out, text="exact_match,strict"))


def test_the_files_of_a_second_run_are_an_error(out: Path) -> None:
    results = next((out / "raw").glob("results_*.json"))
    shutil.copy(results, results.with_name("results_2030-01-01T00-00-00.json"))
    with pytest.raises(JobError, match="left 2 results files, not 1"):
        collect(job(out))


def test_a_run_that_left_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="left 0 results files, not 1"):
        collect(job(tmp_path))


def test_a_task_without_samples_is_an_error(out: Path) -> None:
    next((out / "raw").glob("samples_toy_two_*.jsonl")).unlink()
    with pytest.raises(JobError, match="left 0 files of samples of toy_two"):
        collect(job(out))


def test_groups_of_groups_end_in_their_tasks() -> None:
    assert leaves("mmlu", {"mmlu": ["stem", "other"], "stem": ["physics"], "other": ["law", "ethics"]}) == [
        "physics",
        "law",
        "ethics",
    ]
    assert leaves("piqa", {"piqa": []}) == ["piqa"]
