"""A fingerprint changes with what decides a job's result, there and in all that follows from it, and with nothing else."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler.lower.workshop
from tests.compiler.project import Project, descendants

RECIPES, PLACES, SUBJECTS = "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"


def fingerprints(project: Project) -> dict[str, str]:
    return {name: job["fingerprint"] for name, job in project.jobs().items()}


def changed_by(project: Project, edit: Callable[[], None]) -> set[str]:
    """The jobs of which an edit changes the fingerprint. The set of jobs stays the same."""
    before = fingerprints(project)
    edit()
    project.compile()
    after = fingerprints(project)
    assert set(before) == set(after)
    return {name for name in after if before[name] != after[name]}


# --- what changes nothing -------------------------------------------------------------------------------------------------


def rewritten(project: Project, again: Callable[[yaml.Node], yaml.Node]) -> None:
    """Write every YAML file again, from its nodes."""
    for path in (project.root / "specs").rglob("*.yaml"):
        path.write_text(yaml.serialize(again(yaml.compose(path.read_text())), Dumper=yaml.SafeDumper), encoding="utf-8")


def turned_round(node: yaml.Node) -> yaml.Node:
    """The same with the keys of every mapping backwards, and with no anchor and no alias.

    Only the axes stay in their order: it is that of the cells, and so of the report's rows.
    """
    if isinstance(node, yaml.MappingNode):
        axes = any(key.value == "method" and isinstance(value, yaml.SequenceNode) for key, value in node.value)
        pairs = node.value if axes else reversed(node.value)
        return yaml.MappingNode(node.tag, [(turned_round(k), turned_round(v)) for k, v in pairs])
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [turned_round(item) for item in node.value])
    return yaml.ScalarNode(node.tag, node.value, style=node.style)


def quoted(node: yaml.Node, quote: str) -> yaml.Node:
    """The same with quotes around every word."""
    if isinstance(node, yaml.MappingNode):
        return yaml.MappingNode(node.tag, [(quoted(k, quote), quoted(v, quote)) for k, v in node.value])
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [quoted(item, quote) for item in node.value])
    is_word = re.fullmatch(r"[A-Za-z_]{2,}", node.value) and node.tag == "tag:yaml.org,2002:str"
    return yaml.ScalarNode(node.tag, node.value, style=quote if is_word else node.style)


def test_order_of_keys_and_anchors_change_nothing(compiled: Project) -> None:
    recipes = compiled.root / "specs" / RECIPES
    assert "&one_core" in recipes.read_text()
    assert not changed_by(compiled, lambda: rewritten(compiled, turned_round))
    assert "&" not in recipes.read_text() and recipes.read_text().startswith("teachers:")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_around_words_change_nothing(quote: str, compiled: Project) -> None:
    assert not changed_by(compiled, lambda: rewritten(compiled, lambda node: quoted(node, quote)))
    assert f"{quote}adamw_torch{quote}" in (compiled.root / "specs" / RECIPES).read_text()


def test_comments_and_blank_lines_change_nothing(compiled: Project) -> None:
    def edit() -> None:
        for path in (compiled.root / "specs").rglob("*.yaml"):
            path.write_text("".join(f"{line}  # said of it\n\n" for line in path.read_text().splitlines() if line))

    assert not changed_by(compiled, edit)


def test_a_number_is_the_same_however_it_is_written(compiled: Project) -> None:
    def edit() -> None:
        compiled.edit(RECIPES, "lr: 1e-3", "lr: 0.0010")
        compiled.edit(SUBJECTS, "temperature: 0\n", "temperature: 0.0\n")
        compiled.edit(SUBJECTS, "refusals: {weight: 2,", "refusals: {weight: 2.0,")

    assert not changed_by(compiled, edit)


EXECUTION = {
    "time": (PLACES, "train: {time: 2:00:00", "train: {time: 4:00:00"),
    "partition": (PLACES, "eval: {time: \"90\"", "eval: {partition: long, time: \"90\""),
    "cpus": (PLACES, "        cpus: 1\n", "        cpus: 16\n"),
    "mem": (PLACES, "        mem: 4G\n", "        mem: 16G\n"),
    "gpus": (PLACES, "train: {time: 2:00:00, cpus: 1, mem: 4G", "train: {time: 2:00:00, cpus: 1, mem: 4G, gpus: 4, gpu: a100"),
    "store": (PLACES, "    store: \"$LETHE_ROOT/store\"", "    store: /elsewhere"),
    "exports": (PLACES, "{OMP_NUM_THREADS: \"1\"}", "{OMP_NUM_THREADS: \"4\"}"),
    "limits": (PLACES, "store\"\n    limits: {submitted: 1000", "store\"\n    limits: {submitted: 10"),
    "micro_batch_size": (RECIPES, "micro_batch_size: 1", "micro_batch_size: 2"),
    "logging_steps": (RECIPES, "logging_steps: 10", "logging_steps: 1"),
    "save_steps": (RECIPES, "save_steps: null", "save_steps: 5"),
    "gradient_checkpointing": (RECIPES, "gradient_checkpointing: false", "gradient_checkpointing: true"),
    "resources of an algorithm": (RECIPES, "Supervised fine-tuning\n    backend: trl\n    resources: train",
                                  "Supervised fine-tuning\n    backend: trl\n    resources: cpu"),
    "cluster": ("toy.yaml", "cluster: here", "cluster: gres_site"),
    "tracking": ("toy.yaml", "wandb: disabled", "wandb: offline"),
    "what a method is about": (RECIPES, "about: Online reinforcement learning", "about: GRPO"),
    "why a rule": ("toy.yaml", "why: facts are forgotten faster than sums", "why: so"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXECUTION)
def test_how_a_job_is_run_changes_no_fingerprint(name: str, shared: Project, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.edit(*EXECUTION[name])
    project.compile()
    assert fingerprints(project) == fingerprints(shared)
    assert project.files() != shared.files() or name in ("limits", "what a method is about")


# --- what changes jobs and their descendants ------------------------------------------------------------------------------

# (file; path of a setting, with dots; the jobs that it decides, as a pattern). The first that matches holds: a domain, a
# method or a rule hides some of the algorithms' settings.
DECIDED = [
    (SUBJECTS, r"domains\.(\w+)\.settings\.(seed|train|eval)", r"prepare/\1"),
    (SUBJECTS, r"domains\.(\w+)\.algorithms\.sft\.max_length", r"train/(gt|rs)_sft_\1_.*|train/staged_\1_.*\.1_sft"),
    (SUBJECTS, r"domains\.(\w+)\.datasets\.own_answers\.prompts", r"generate/own_answers_\1_.*"),
    (SUBJECTS, r"scales\.nano\.starts\.(\w+)\.pretrain\.settings\..*", r"pretrain/\1_nano"),
    (SUBJECTS, r"suites\.(\w+)\.settings\..*", r"evaluate/.*\.\1"),
    (RECIPES, r"algorithms\.sft\.settings\.lr", r"train/gt_sft_sums_.*|train/rs_sft_.*|train/staged_.*\.1_sft"),
    (RECIPES, r"algorithms\.sft\.settings\..*", r"train/(gt|rs)_sft_.*|train/staged_.*\.1_sft"),
    (RECIPES, r"algorithms\.grpo\.settings\.lr", r"train/on_rl_.*"),
    (RECIPES, r"algorithms\.grpo\.settings\..*", r"train/(on_rl|staged)_\w*"),
    (RECIPES, r"datasets\.(truth|prompts|own_answers)\.settings\..*", r"build/\1_.*"),
    (RECIPES, r"datasets\.own_answers\.traces\.settings\.prompts", r"generate/own_answers_facts_.*"),
    (RECIPES, r"datasets\.own_answers\.traces\.settings\..*", r"generate/own_answers_.*"),
    (RECIPES, r"methods\.staged\.stages\.1\.settings\.lr", r"train/staged_\w*"),
    ("toy.yaml", r"rules\.1\.to\.sft\.lr", r"train/gt_sft_facts_.*"),
    ("toy.yaml", r"evaluate\.confidence|about", r"report/toy"),
]
# One setting hides another, or only some values go together.
OTHER_VALUES = {
    "optimizer": "adamw_torch_fused", "schedule": "linear", "precision": "bf16", "overlong": "drop", "loss_type": None,
    "scale_rewards": "batch", "importance_sampling": "sequence", "column": "complied", "about": "Something else",
}  # fmt: skip
WHOLE = ("seed", "weight", "version", "updates_per_batch")
UNMOVABLE = ("epochs", "per_question", "keep", "limit", "loss_type", "steps")


def leaves(node: yaml.Node, path: tuple[str, ...] = ()) -> list[tuple[str, yaml.ScalarNode]]:
    if isinstance(node, yaml.MappingNode):
        return [leaf for key, value in node.value for leaf in leaves(value, (*path, key.value))]
    if isinstance(node, yaml.SequenceNode):
        return [leaf for number, value in enumerate(node.value) for leaf in leaves(value, (*path, str(number)))]
    return [(".".join(path), node)] if isinstance(node, yaml.ScalarNode) else []


def other(path: str, text: str) -> str:
    """Another value that the same setting may have."""
    name = path.rsplit(".", 1)[-1]
    if name in OTHER_VALUES and not re.match(r"[\d.]", text):
        return "solution" if text == "complied" else str(OTHER_VALUES[name])
    if text in ("true", "false"):
        return {"true": "false", "false": "true"}[text]
    fixed = {"0.999": "0.99", "0.0": "0.125", "1.0": "0.5", "0": "0.25", "1": "2" if name in WHOLE else "0.5"}
    halved = repr(float(text) / 2) if "." in text or "e" in text else str(int(text) + 2)
    return fixed.get(text, halved)


def settings_of(file: str, text: str) -> list[tuple[str, yaml.ScalarNode, str]]:
    """Every setting of a file that decides something, with the pattern of the jobs that it decides."""
    found = []
    for path, node in leaves(yaml.compose(text)):
        matches = [(re.fullmatch(pattern, path), jobs) for where, pattern, jobs in DECIDED if where == file]
        decided = [jobs.replace(r"\1", match[match.re.groups and 1]) for match, jobs in matches if match]
        if decided and not path.endswith(UNMOVABLE):
            found.append((path, node, decided[0]))
    return found


@pytest.mark.parametrize("file", ["toy.yaml", RECIPES, SUBJECTS])
def test_a_setting_changes_the_jobs_it_decides_and_what_follows_from_them(file: str, shared: Project, tmp_path: Path) -> None:
    jobs = shared.jobs()
    project = Project.make(tmp_path / "project")
    path = project.root / "specs" / file
    text = path.read_text()
    cases = settings_of(file, text)
    for name, node, pattern in random.Random(file).sample(cases, min(20, len(cases))):
        value = other(name, node.value)
        path.write_text(text[: node.start_mark.index] + value + text[node.end_mark.index :])
        project.compile()
        now = fingerprints(project)
        changed = {job for job, found in jobs.items() if now.get(job) != found["fingerprint"]}
        own = {job for job in jobs if re.fullmatch(pattern, job)}
        assert own, f"{name} decides no job"
        assert changed == descendants(jobs, own), f"{name}: {value}"
    assert len(cases) >= 2


# --- any edits together ---------------------------------------------------------------------------------------------------


def commented(text: str, draw: random.Random) -> str:
    """The same YAML with comments and blank lines here and there, and a blank line at its head."""
    lines = [line + draw.choice(["", "", "  # said of it", "\n# between\n"]) for line in text.splitlines()]
    return "\n" + "\n".join(lines) + "\n"


def shuffled(node: yaml.Node, draw: random.Random) -> yaml.Node:
    """The same with the keys of every mapping in any order, but for axes, whose order is that of the cells."""
    if isinstance(node, yaml.MappingNode):
        axes = any(key.value == "method" and isinstance(value, yaml.SequenceNode) for key, value in node.value)
        pairs = [(key, shuffled(value, draw)) for key, value in node.value]
        return yaml.MappingNode(node.tag, pairs if axes else draw.sample(pairs, len(pairs)))
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [shuffled(item, draw) for item in node.value])
    return yaml.ScalarNode(node.tag, node.value, style=node.style)


def disguise(project: Project, draw: random.Random) -> None:
    """Turn the specs into others that mean the same."""
    rewritten(project, lambda node: shuffled(node, draw))
    for path in (project.root / "specs").rglob("*.yaml"):
        path.write_text(commented(path.read_text(), draw), encoding="utf-8")


APART = [name for name in EXECUTION if name not in ("cluster", "resources of an algorithm")]  # these change what others edit
FEW = settings(max_examples=12, derandomize=True)


@FEW
@given(edits=st.sets(st.sampled_from(APART), min_size=1), draw=st.randoms(use_true_random=False))
def test_no_mixture_of_cosmetic_and_execution_edits_changes_a_fingerprint(
    edits: set[str], draw: random.Random, shared: Project
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project.make(Path(folder) / "project")
        for name in sorted(edits):
            project.edit(*EXECUTION[name])
        disguise(project, draw)
        project.compile()
        assert fingerprints(project) == fingerprints(shared)


@FEW
@given(data=st.data(), draw=st.randoms(use_true_random=False), hidden=st.booleans())
def test_semantic_edits_change_what_they_decide_and_what_follows_whatever_else_is_edited(
    data: st.DataObject, draw: random.Random, hidden: bool, shared: Project
) -> None:
    """Up to three settings of any file, each in its own line, among edits that change nothing."""
    jobs, own = shared.jobs(), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        project = Project.make(Path(folder) / "project")
        for file in data.draw(st.lists(st.sampled_from(["toy.yaml", RECIPES, SUBJECTS]), min_size=1, max_size=3, unique=True)):
            path = project.root / "specs" / file
            text = path.read_text()
            name, node, pattern = data.draw(st.sampled_from(settings_of(file, text)))
            path.write_text(text[: node.start_mark.index] + other(name, node.value) + text[node.end_mark.index :])
            own |= {job for job in jobs if re.fullmatch(pattern, job)}
        if hidden:
            disguise(project, draw)
        project.compile()
        now = fingerprints(project)
        assert {job for job, found in jobs.items() if now.get(job) != found["fingerprint"]} == descendants(jobs, own)


# --- the code --------------------------------------------------------------------------------------------------------------


def test_a_new_version_of_a_kinds_code_changes_its_jobs_and_what_follows(
    compiled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, manifest = compiled.jobs(), json.loads(compiler.lower.workshop.MANIFEST.read_text())
    monkeypatch.setattr(compiler.lower.workshop, "MANIFEST", tmp_path / "manifest.json")
    for kind in sorted(manifest["kinds"]):
        own = {name for name, job in jobs.items() if job["kind"] == kind}
        if own:
            newer = {**manifest["kinds"], kind: {**manifest["kinds"][kind], "version": manifest["kinds"][kind]["version"] + 1}}
            (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "kinds": newer}))
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / kind))  # with another manifest, nothing is remembered
            compiled.compile()
            now = compiled.jobs()
            assert {name for name in jobs if now[name]["fingerprint"] != jobs[name]["fingerprint"]} == descendants(jobs, own)
            assert all(now[name]["code"] == newer[kind]["version"] for name in own)


def test_a_fingerprint_names_a_folder_of_its_own_for_every_job(shared: Project) -> None:
    jobs = shared.jobs()
    assert all(re.fullmatch("[0-9a-f]{64}", job["fingerprint"]) for job in jobs.values())
    assert len({job["fingerprint"] for job in jobs.values()}) == len(jobs)


def test_two_recipes_that_come_to_the_same_are_one_job(project: Project) -> None:
    """The staged method's first stage on sums is what gt_sft trains there; on facts a rule makes them differ."""
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    assert "train/staged_sums_base_nano.1_sft" not in jobs
    assert jobs["train/staged_sums_base_nano"]["inputs"][0]["job"] == "train/gt_sft_sums_base_nano"
    assert jobs["train/staged_facts_base_nano"]["inputs"][0]["job"] == "train/staged_facts_base_nano.1_sft"


def test_a_renamed_method_keeps_its_results(compiled: Project) -> None:
    before = fingerprints(compiled)["train/gt_sft_sums_safe_nano"]
    compiled.edit(RECIPES, "  gt_sft:\n", "  truth_sft:\n")
    compiled.edit("toy.yaml", "method: [gt_sft,", "method: [truth_sft,")
    compiled.edit("toy.yaml", "method: gt_sft", "method: truth_sft")
    compiled.compile()
    assert fingerprints(compiled)["train/truth_sft_sums_safe_nano"] == before
