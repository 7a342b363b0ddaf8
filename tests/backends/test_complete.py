"""Generated VeRL configs are complete, in VeRL's order, and cite who says what; `lethe explain` agrees with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from compiler.backends import part
from compiler.backends.complete import Laid, told
from compiler.backends.rendering import Line
from compiler.diagnostics import Position
from tests.backends.test_options import STUDY
from tests.backends.test_verl import verl_config
from tests.compiler.project import REPOSITORY, Project

TRAININGS = {"gt_sft": "sft_trainer_engine", "on_rl": "ppo_trainer"}
OUR_OWN = ("package", "defaults", "hydra")
CITED = re.compile(r"^ *(?P<key>\w+): .*  # (?P<file>specs/[\w./]+):(?P<line>\d+)")
CATALOG = "specs/catalog/algorithms.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A compiled study of one VeRL training of each kind, and one of TRL's, on a copy of the repository's catalog."""
    root = tmp_path_factory.mktemp("complete")
    (root / "specs" / "catalog").mkdir(parents=True)
    for file in (REPOSITORY / "specs" / "catalog").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8").replace("../../requirements/", f"{REPOSITORY}/requirements/")
        (root / "specs" / "catalog" / file.name).write_text(text, encoding="utf-8")
    axes = {**STUDY["axes"], "method": [*TRAININGS, "off_rl"]}
    rule = {"set": "slower", "where": {"method": "gt_sft"}, "to": {"sft": {"lr": 5e-6}}, "why": "a test"}
    accept = [{"differ": "tokens", "across": "method", "why": "a test"}]
    said = {**STUDY, "axes": axes, "rules": [rule], "accept": accept}
    (root / "specs" / "toy.yaml").write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
    project = Project(root)
    project.compile()
    return project


def path_of(method: str) -> str:
    return f"configs/train/{method}_math_base_4b.yaml"


def text_of(project: Project, method: str) -> str:
    return (project.tree / path_of(method)).read_text(encoding="utf-8")


def keys(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path of nested mappings, in order."""
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        yield (*path, key)
        yield from keys(value, (*path, key))


@pytest.mark.parametrize("method", TRAININGS)
def test_every_option_of_verl_is_there_in_verls_order(project: Project, method: str) -> None:
    said = {key: value for key, value in yaml.safe_load(text_of(project, method)).items() if key not in OUR_OWN}
    own = OmegaConf.to_container(verl_config(TRAININGS[method]), resolve=False)
    found, real = list(keys(said)), list(keys(own))
    assert set(real) <= set(found)
    assert [key for key in found if key in set(real)] == real


@pytest.mark.parametrize("method", TRAININGS)
def test_a_complete_config_says_no_more_than_its_template(project: Project, method: str) -> None:
    """Composed by VeRL, the complete config and the few lines that the template has are the same."""
    job = next(job for job in project.jobs().values() if job["id"] == f"train/{method}_math_base_4b")
    found = part(job["backend"], job["what"], Position("tests"))
    few = found.config_of(job["settings"], job["execution"])
    complete = yaml.safe_load(text_of(project, method))
    whole = [OmegaConf.merge(verl_config(TRAININGS[method]).copy(), _open(said)) for said in (few, complete)]
    assert OmegaConf.to_container(whole[0], resolve=False) == OmegaConf.to_container(whole[1], resolve=False)
    assert len(json.dumps(few)) < len(json.dumps(complete)) / 3  # only the few are part of the plan


def _open(said: Mapping[str, Any]) -> Any:
    """A config without what is Hydra's or Lethe's, and without the one key that VeRL reads and does not declare."""
    own = json.loads(json.dumps({key: value for key, value in said.items() if key not in OUR_OWN}))
    own.get("reward", {}).get("custom_reward_function", {}).pop("reward_kwargs", None)
    return own


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("gt_sft", r"  lr: 5\.0e-06  # specs/toy\.yaml:\d+"),
        ("gt_sft", r"  max_length: \d+  # specs/catalog/domains\.yaml:\d+"),
        ("gt_sft", r"  custom_chat_template: .*  # the start's prompt"),
        ("gt_sft", r"  dtype: bfloat16  # of the arithmetic"),
        ("gt_sft", r"  model_dtype: fp32  # specs/catalog/algorithms\.yaml:\d+; of the weights and so of the optimizer"),
        ("gt_sft", r"  resume_mode: auto  # the output folder is this fingerprint's own"),
        ("gt_sft", r"  total_training_steps: -1"),
        ("on_rl", r"  train_batch_size: 16  # specs/catalog/algorithms\.yaml:\d+, specs/catalog/algorithms\.yaml:\d+"),
        ("on_rl", r" +grader: math  # the domain's grader"),
        ("off_rl", r"  learning_rate: 1\.0e-06  # specs/catalog/algorithms\.yaml:\d+"),
    ],
)
def test_behind_a_value_stands_who_says_it(project: Project, method: str, line: str) -> None:
    assert [found for found in text_of(project, method).splitlines() if re.fullmatch(line, found)]


@pytest.mark.parametrize("method", [*TRAININGS, "off_rl"])
def test_what_is_cited_is_at_the_place(project: Project, method: str) -> None:
    """Every cited line of a spec or catalog holds a value, and one that stands as it is in the config is that value."""
    cited = [found for found in map(CITED.match, text_of(project, method).splitlines()) if found]
    assert len(cited) > 20
    for found in cited:
        line = (project.root / found["file"]).read_text().splitlines()[int(found["line"]) - 1]
        assert ":" in line, found.group()
    rate = next(found for found in cited if found["key"] in ("lr", "learning_rate"))
    assert "lr: " in (project.root / rate["file"]).read_text().splitlines()[int(rate["line"]) - 1]


@pytest.mark.parametrize(
    ("method", "key"), [("gt_sft", "lr"), ("gt_sft", "betas"), ("on_rl", "clip_ratio_c"), ("off_rl", "beta")]
)
def test_explaining_a_line_gives_what_it_cites(project: Project, method: str, key: str) -> None:
    lines = text_of(project, method).splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.strip().startswith(f"{key}: ") and "# specs/" in line)
    done = project.lethe("explain", f"generated/toy/{path_of(method)}:{number}", "--json")
    chains = [value["chain"][-1] for value in json.loads(done.out)["decided_by"]]
    places = [f"{said['file']}:{said['line']}" for said in chains]
    assert re.findall(r"specs/[\w./]+:\d+", lines[number - 1]) == places


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("min_num_params", "it stands in verl/trainer/config/engine/fsdp.yaml of verl 0.9.1"),
        ("strategy", "it stands in templates/backends/verl/sft.yaml.j2:"),
        ("resume_mode", "it stands in templates/backends/verl/sft.yaml.j2:"),
    ],
)
def test_explaining_a_line_that_no_value_decides_says_whether_it_is_verls_or_ours(
    project: Project, key: str, said: str
) -> None:
    lines = text_of(project, "gt_sft").splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.strip().startswith(f"{key}: "))
    assert said in project.lethe("explain", f"generated/toy/{path_of('gt_sft')}:{number}").out


def test_a_moved_line_changes_comments_and_nothing_else(project: Project) -> None:
    plan, before = (project.tree / "plan.json").read_bytes(), text_of(project, "gt_sft")
    file = project.root / CATALOG
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# a line more\n{text}", encoding="utf-8")
    try:
        project.compile()
        after = text_of(project, "gt_sft")
        assert (project.tree / "plan.json").read_bytes() == plan
        assert after != before and yaml.safe_load(after) == yaml.safe_load(before)
    finally:
        file.write_text(text, encoding="utf-8")
        project.compile()


def test_a_file_with_a_hostile_name_is_cited_on_one_line() -> None:
    """The citation is a comment: whatever the file is called, the config says the same."""
    line = Laid("model: hf", Line((("settings", "model"),)))
    text = told((line,), lambda setting: "a: b # c\nd\u2028\x85/ü.yaml:3")
    assert len(text.splitlines()) == 1 and yaml.safe_load(text) == {"model": "hf"}
