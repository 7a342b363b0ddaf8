"""docs/backends.md, 'A backend of your own': what the page shows is installed as a package, and compiles a study."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from compiler.text import toml_text
from tests.compiler.project import BIN, REPOSITORY, Project, Result

PAGE = (REPOSITORY / "docs" / "backends.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?P<before>(?:^[^\n]+\n)+)\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(\w[\w/]*(?:\.\w+)+)`")  # of the paragraph above a block, the first file
OWN = PAGE.partition("## A backend of your own")[2]
SHOWN = [(NAME.search(found["before"]), found["text"]) for found in BLOCK.finditer(OWN)]
FILES = {name[1]: text for name, text in SHOWN if name}
STUDY = next(text for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if text.startswith("study:"))
JOB = "train/primed_math_base_4b"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the page's study, and a folder of packages where the page's package is installed."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "catalog").symlink_to(REPOSITORY / "specs" / "catalog")
    (tmp_path / "specs" / "primed.yaml").write_text(STUDY, encoding="utf-8")
    install(tmp_path / "packages")
    return Project(tmp_path)


def install(packages: Path) -> None:
    """What pip leaves of the page's package: its files, and its metadata with the entry point."""
    about = tomllib.loads(FILES["pyproject.toml"])["project"]
    for name, text in FILES.items():
        if name.startswith("lethe_prime_rl/"):
            (packages / name).parent.mkdir(parents=True, exist_ok=True)
            (packages / name).write_text(text, encoding="utf-8")
    (packages / "lethe_prime_rl" / "__init__.py").write_text("raise ImportError('found, not imported')\n", encoding="utf-8")
    metadata = packages / f"lethe_prime_rl-{about['version']}.dist-info"
    metadata.mkdir()
    said = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (metadata / "METADATA").write_text(said, encoding="utf-8")
    entries = "".join(f"{name} = {value}\n" for name, value in about["entry-points"]["lethe.backends"].items())
    (metadata / "entry_points.txt").write_text(f"[lethe.backends]\n{entries}", encoding="utf-8")


def lethe(project: Project, *words: str) -> Result:
    """`lethe` in a process of its own, which sees the installed package."""
    return project.shell(str(BIN / "lethe"), *words, environment={"PYTHONPATH": str(project.root / "packages")})


def text(project: Project, path: str) -> str:
    return (project.generated / "primed" / path).read_text(encoding="utf-8")


def compiled(project: Project) -> None:
    done = lethe(project, "compile", "specs/primed.yaml")
    assert done.code == 0, done.err


def job_of(project: Project) -> dict[str, Any]:
    """The training as plan.json has it."""
    plan = json.loads(text(project, "plan.json"))
    return next(job for job in plan["jobs"] if job["id"] == JOB)


def test_the_page_shows_every_file_of_the_backend() -> None:
    assert {name.rpartition("/")[2] for name in FILES} >= {
        "pyproject.toml", "backend.yaml", "grpo.schema.json", "grpo.yaml.j2", "grpo.sh.j2",
        "grpo.trainer.toml.j2", "grpo.orchestrator.toml.j2", "grpo.inference.toml.j2",
    }  # fmt: skip


def test_an_installed_backend_compiles_a_study_to_its_own_three_files(project: Project) -> None:
    compiled(project)
    shown = FILES["configs/train/primed_math_base_4b.orchestrator.toml"]
    assert text(project, f"configs/{JOB}.orchestrator.toml") == shown
    trainer = tomllib.loads(text(project, f"configs/{JOB}.trainer.toml"))
    assert trainer == {"max_steps": 500, "optim": {"lr": 1e-6}}
    assert tomllib.loads(text(project, f"configs/{JOB}.inference.toml")) == {"parallel": {"dp": 1}}


def test_its_script_runs_its_command_in_its_environment_after_what_it_reads(project: Project) -> None:
    compiled(project)
    script = text(project, f"jobs/{JOB}.sh")
    assert "source ~/prime-rl/.venv/bin/activate" in script and "rl --trainer @" in script and "--trainer-gpus 1 " in script
    job = job_of(project)
    assert {edge["type"] for edge in job["inputs"]} == {"checkpoint.hf", "dataset.rl"} and job["output"] == "checkpoint.hf"


def test_nothing_is_said_of_what_this_runtime_lacks_for_it(project: Project) -> None:
    assert "prime" not in lethe(project, "validate", "specs/primed.yaml").err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch_size: 1024", "batch_size: 1023", "a batch has whole groups"),
        ("group_size: 8", "group_sise: 8", "did you mean 'group_size'?"),
        ("backend: prime_rl", "backend: prime_lr", "did you mean 'prime_rl'?"),
        ("temperature: 1.0", "temperature: 0", "expected more than 0"),
    ],
)
def test_its_mistakes_are_told_like_those_of_any_other(project: Project, old: str, new: str, said: str) -> None:
    spec = project.root / "specs" / "primed.yaml"
    spec.write_text(STUDY.replace(old, new), encoding="utf-8")
    done = lethe(project, "validate", "specs/primed.yaml")
    assert done.code == 1 and said in done.err, done.err


def test_its_steps_may_be_counted_from_settings_read_in_any_way(project: Project) -> None:
    about = project.root / "packages" / "lethe_prime_rl" / "backend.yaml"
    counted = "steps_an_epoch: {grpo: \"rows // settings['batch_size'] + 0 * (settings | length)\"}"
    about.write_text(f"{about.read_text(encoding='utf-8')}{counted}\n", encoding="utf-8")
    spec = project.root / "specs" / "primed.yaml"
    sized = "\n  domains: {math: {extends: math, examples: {prompts: 10240}}}\n"
    spec.write_text(STUDY.replace("define:\n", f"define:{sized}", 1), encoding="utf-8")
    compiled(project)
    assert job_of(project)["cost"]["examples"] == 10240


def test_a_line_of_its_files_is_explained(project: Project) -> None:
    compiled(project)
    done = lethe(project, "explain", f"generated/primed/configs/{JOB}.orchestrator.toml:3")
    assert done.code == 0, done.err
    assert "group_size = 8" in done.out and "specs/primed.yaml" in done.out


def test_its_canary_goes_through_its_templates(project: Project) -> None:
    done = lethe(project, "canary", "specs/primed.yaml")
    assert done.code == 0, done.err


def test_without_the_package_its_name_is_unknown(project: Project) -> None:
    done = project.shell(str(BIN / "lethe"), "validate", "specs/primed.yaml")
    assert done.code == 1 and "there is no backend 'prime_rl'" in done.err


def test_toml_is_what_was_said() -> None:
    said = {
        "a": 1,
        "b.c": 'x\n"y" ü 𝄞',
        "d": {"e": [1.5, "z"], "f": {"g": True, "h": {}}},
        "i": [{"j": 1e-7}],
        "k": {"l": {"m": 0}},
    }
    assert tomllib.loads(toml_text(said)) == said


def test_toml_has_no_null() -> None:
    with pytest.raises(ValueError, match="leave the key out"):
        toml_text({"a": None})
