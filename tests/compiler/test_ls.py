"""`lethe ls` lists the jobs, or the cells, that a selection means."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.select.offer import RESULTS
from runtime.operations.status import STATES
from runtime.store import markers
from tests.compiler.project import Project, descendants

BASE_SUMS = {
    "train/gt_sft_sums_base_nano", "evaluate/gt_sft_sums_base_nano.skills", "evaluate/gt_sft_sums_base_nano.harm",
}  # fmt: skip
RECIPES = "catalog/recipes.yaml"


def rows(project: Project, *words: str) -> list[dict[str, Any]]:
    """What `lethe ls --json` lists."""
    options = [word for word in words if word.startswith("--")]
    others = [word for word in words if not word.startswith("--")]
    result = project.lethe("ls", "--json", "--allow-empty", *options, "specs/toy.yaml", *others)
    assert result.code == 0, result.out + result.err
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


def ls(project: Project, *words: str) -> set[str]:
    return {row["job"] for row in rows(project, *words)}


def whole(project: Project) -> nx.DiGraph[str]:
    """The plan as a graph, made from plan.json alone."""
    found: nx.DiGraph[str] = nx.DiGraph()
    for job in project.plan()["jobs"]:
        found.add_node(job["id"])
        found.add_edges_from((edge["job"], job["id"]) for edge in job["inputs"])
    return found


def ancestors(project: Project, jobs: Iterable[str]) -> set[str]:
    graph = whole(project)
    return set(jobs).union(*(nx.ancestors(graph, job) for job in jobs))


def test_without_a_selection_every_job_is_listed_in_the_plans_order(shared: Project) -> None:
    assert [row["job"] for row in rows(shared)] == [job["id"] for job in shared.plan()["jobs"]]


def test_a_line_has_job_kind_cell_and_state_in_columns(shared: Project) -> None:
    result = shared.lethe("ls", "specs/toy.yaml", "gt_sft_facts_base_nano", "prepare/facts")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "prepare/facts                           prepare   -                       unchanged\n"
        "train/gt_sft_facts_base_nano            train     gt_sft_facts_base_nano  unchanged\n"
        "evaluate/gt_sft_facts_base_nano.skills  evaluate  gt_sft_facts_base_nano  unchanged\n"
        "evaluate/gt_sft_facts_base_nano.harm    evaluate  gt_sft_facts_base_nano  unchanged\n"
    )


def test_a_comma_is_and_several_words_are_or(shared: Project) -> None:
    trains = ls(shared, "method:gt_sft,domain:sums,stage:train")
    assert trains == {"train/gt_sft_sums_base_nano", "train/gt_sft_sums_safe_nano"}
    assert ls(shared, "method:gt_sft,domain:sums,stage:train", "prepare/sums") == {*trains, "prepare/sums"}


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["method:gt_sft|rs_sft"], ["method:gt_sft", "method:rs_sft"]),
        (["method:*_sft"], ["method:gt_sft|rs_sft"]),
        (["method:?s_sft"], ["method:rs_sft"]),
        (["stage:eval"], ["stage:evaluate"]),
        (["stage:ev*"], ["stage:evaluate"]),
        (["stage:prepare|pretrain"], ["stage:prep", "stage:pretrain"]),
        (["job:train/gt_*"], ["stage:train,job:*/gt_*"]),
        (["cell:gt_sft_sums_base_nano"], ["gt_sft_sums_base_nano"]),
        (["gt_sft_*"], ["method:gt_sft"]),
        (["train/*"], ["stage:train"]),
        (["state:*"], ["state:unchanged"]),
    ],
)
def test_ways_to_write_the_same(words: list[str], same: list[str], shared: Project) -> None:
    assert ls(shared, *words) == ls(shared, *same) != set()


def test_a_cells_jobs_train_and_measure_it_and_what_it_needs_comes_with_plus(shared: Project) -> None:
    cell = "gt_sft_sums_base_nano"
    assert ls(shared, cell) == BASE_SUMS
    assert ls(shared, f"+{cell}") == ancestors(shared, BASE_SUMS)
    assert "report/toy" in ls(shared, f"{cell}+")
    assert ls(shared, f"{cell}+") == descendants(shared.jobs(), BASE_SUMS)


def test_a_training_that_two_cells_share_is_of_both(shared: Project) -> None:
    """`staged` begins as gt_sft: one training, under the first cell's name."""
    (row,) = rows(shared, "train/gt_sft_sums_base_nano")
    assert row["cells"] == ["gt_sft_sums_base_nano", "staged_sums_base_nano"]
    assert "train/gt_sft_sums_base_nano" in ls(shared, "method:staged")
    assert {row["cell"] for row in rows(shared, "method:staged", "--cells")} == {
        "staged_sums_base_nano", "staged_facts_base_nano",
    }  # fmt: skip


def test_what_serves_the_whole_study_is_of_no_cell(shared: Project) -> None:
    served = {row["kind"] for row in rows(shared) if not row["cells"]}
    assert served == {"prepare", "pretrain", "build", "generate", "evaluate", "report"}
    assert {row["job"] for row in rows(shared, "stage:evaluate") if not row["cells"]} == {
        f"evaluate/{start}_nano.{suite}" for start in ("base", "safe") for suite in ("skills", "harm")
    }


@given(
    st.sampled_from(["prepare/sums", "pretrain/safe_nano", "stage:build", "method:staged"]),
    st.integers(0, 4),
    st.integers(0, 4),
)
@settings(max_examples=12)
def test_steps_up_and_down_are_distances_in_the_plan(shared: Project, word: str, up: int, down: int) -> None:
    graph, own = whole(shared), ls(shared, word)
    near = nx.multi_source_dijkstra_path_length(graph, own, cutoff=down)
    above = nx.multi_source_dijkstra_path_length(graph.reverse(), own, cutoff=up)
    assert ls(shared, f"{up}+{word}+{down}") == set(near) | set(above)


def test_cells_are_listed_with_their_axes(shared: Project) -> None:
    result = shared.lethe("ls", "--cells", "specs/toy.yaml", "start:safe,domain:sums")
    assert result.out == (
        "gt_sft_sums_safe_nano  gt_sft  sums  safe  nano\n"
        "rs_sft_sums_safe_nano  rs_sft  sums  safe  nano\n"
        "on_rl_sums_safe_nano   on_rl   sums  safe  nano\n"
    )
    assert len(rows(shared, "--cells")) == 14


# ---- compared with what is generated ----------------------------------------------------------------------------------


def test_before_the_first_compile_everything_is_new_and_nothing_is_written(project: Project) -> None:
    assert {row["state"] for row in rows(project)} == {"new"}
    assert not project.generated.exists()


def test_an_edit_modifies_its_own_jobs_and_makes_stale_what_is_made_from_them(compiled: Project) -> None:
    own = {"train/gt_sft_facts_base_nano", "train/gt_sft_facts_safe_nano"}
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    assert ls(compiled, "state:modified") == own
    assert ls(compiled, "state:stale") == descendants(compiled.jobs(), own) - own
    assert ls(compiled, "state:modified+") == ls(compiled, "state:modified|stale")
    assert {row["cell"] for row in rows(compiled, "state:modified+", "--cells")} == {
        "gt_sft_facts_base_nano", "gt_sft_facts_safe_nano",
    }  # fmt: skip


def test_a_change_of_how_jobs_run_invalidates_nothing(compiled: Project) -> None:
    compiled.edit(RECIPES, "micro_batch_size: 1", "micro_batch_size: 2")
    assert ls(compiled, "state:execution") == ls(compiled, "stage:train")
    assert ls(compiled, "state:modified|stale") == set()


def test_removed_jobs_are_listed_only_where_they_are_asked_for(compiled: Project) -> None:
    gone = ls(compiled, "method:rs_sft")
    compiled.edit("toy.yaml", "[gt_sft, rs_sft, on_rl, staged]", "[gt_sft, on_rl, staged]")
    assert ls(compiled, "state:removed,method:rs_sft") == gone
    assert ls(compiled, "state:removed") > gone, "its datasets are no more, either"
    assert not ls(compiled) & gone
    assert {row["state"] for row in rows(compiled, "state:removed")} == {"removed"}
    assert ls(compiled, "state:new") == set()


# ---- how it is doing --------------------------------------------------------------------------------------------------


def test_the_words_for_results_are_the_runtimes() -> None:
    assert RESULTS == STATES


def test_results_are_the_status_of_the_same_fingerprint(compiled: Project, tmp_path: Path) -> None:
    done, whole = compiled.jobs()["prepare/sums"], f"--store={tmp_path}"
    folder = tmp_path / f"prepare/sums-{done['fingerprint'][:12]}"
    folder.mkdir(parents=True)
    markers.write(folder, markers.Marker(done["id"], "prepare", done["output"], done["fingerprint"], {}, 1.0, markers.now()))
    assert ls(compiled, "result:done", whole) == {"prepare/sums"}
    assert len(ls(compiled, "result:never", whole)) == len(compiled.jobs()) - 1
    (row,) = rows(compiled, "prepare/sums,result:*", whole)
    assert row["result"] == "done"
    compiled.edit("catalog/subjects.yaml", "{source: arithmetic, seed: 1", "{source: arithmetic, seed: 2")
    assert ls(compiled, "result:done", whole) == set(), "what is done is another job"


def test_a_status_that_cannot_be_had_is_the_runtimes_own_message(
    compiled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no Slurm
    plan = compiled.tree / "plan.json"
    plan.write_text(plan.read_text().replace('"executor": "local"', '"executor": "slurm"'))
    result = compiled.lethe("ls", "specs/toy.yaml", "result:failed")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("there is no squeue here")


def test_before_the_first_compile_nothing_was_ever_submitted(project: Project) -> None:
    assert {row["result"] for row in rows(project, "result:never")} == {"never"}


# ---- what selects nothing ---------------------------------------------------------------------------------------------


def test_an_empty_selection_is_exit_1_unless_it_is_allowed(shared: Project) -> None:
    result = shared.lethe("ls", "specs/toy.yaml", "method:gt_sft,stage:report")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "no job is what 'method:gt_sft,stage:report' selects in specs/toy.yaml\n  hint: --allow-empty makes that no mistake\n"
    )
    allowed = shared.lethe("ls", "--allow-empty", "specs/toy.yaml", "method:gt_sft,stage:report")
    assert (allowed.code, allowed.out, allowed.err) == (0, "", "")
    assert rows(shared, "method:gt_sft,stage:report") == []


def test_cells_without_an_evaluation_in_the_selection_are_explained(shared: Project) -> None:
    result = shared.lethe("ls", "--cells", "specs/toy.yaml", "stage:train")
    assert result.code == 1
    assert result.err.endswith("hint: X+ adds all that is made from X\n")
    assert len(rows(shared, "--cells", "stage:train+")) == 14


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("methd:on_rl", "there is no axis 'methd'", "did you mean 'method'?"),
        ("method:on_lr", "there is no method 'on_lr'", "did you mean 'on_rl'?"),
        ("scale:*b", "there is no scale '*b'", "valid here: nano"),
        ("stage:evulate", "there is no kind of job 'evulate'", "did you mean 'evaluate'?"),
        ("stage:pre", "'pre' begins preflight, prepare and pretrain", "write a letter more"),
        ("state:modifed", "there is no state 'modifed'", "did you mean 'modified'?"),
        ("result:fialed", "there is no result 'fialed'", "did you mean 'failed'?"),
        ("cell:gt_sft_sums_base_nan", "there is no cell 'gt_sft_sums_base_nan'", "did you mean 'gt_sft_sums_base_nano'?"),
        ("job:train/on_rl_sum_base_nano", "no job 'train/on_rl_sum_base_nano'", "did you mean 'train/on_rl_sums_base_nano'?"),
        ("+prepare/sumz", "there is no cell or job 'prepare/sumz'", "did you mean 'prepare/sums'?"),
        ("on_rl", "'on_rl' is a value of axis 'method'", "write method:on_rl"),
        ("evaluate", "'evaluate' is a kind of job", "write stage:evaluate"),
        ("qqqq", "there is no cell or job 'qqqq'", "`lethe ls` lists them"),
    ],
)
def test_a_word_that_means_nothing_is_one_message_with_the_nearest(word: str, message: str, hint: str, shared: Project) -> None:
    result = shared.lethe("ls", "specs/toy.yaml", word)
    assert (result.code, result.out) == (1, "")
    first, second = result.err.splitlines()
    assert first.startswith(f"'{word}': ") and message in first
    assert second.startswith("  hint: ") and hint in second


@pytest.mark.parametrize("word", ["", ",", "method:", ":gt_sft", "method:a||b", "+", "method:gt_sft,"])
def test_a_word_that_is_no_selection_says_how_one_is_written(word: str, shared: Project) -> None:
    result = shared.lethe("ls", "specs/toy.yaml", word)
    assert (result.code, result.out) == (1, "")
    assert "write AXIS:VALUE" in result.err and len(result.err.splitlines()) == 1


def test_mistakes_are_json_for_those_who_asked_for_it(shared: Project) -> None:
    result = shared.lethe("ls", "--json", "specs/toy.yaml", "methd:on_rl")
    assert (result.code, result.err) == (1, "")
    assert "did you mean 'method'?" in json.dumps(json.loads(result.out)["errors"])


def test_the_help_teaches_the_grammar(project: Project) -> None:
    out = project.lethe("ls", "--help").out
    for word in ("method:on_rl,domain:math", "stage:KIND", "+X  X+", "2+X  X+1", *RESULTS, "unchanged", "removed"):
        assert word in out
