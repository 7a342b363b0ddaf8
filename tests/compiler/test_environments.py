"""Environments: locks are read, what does not live together does not compile, jobs fit where they run, and are tried first."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.diagnostics import Position
from compiler.environments.compatibility import broken, rows
from compiler.environments.locks import Lock, read_environment_lock
from compiler.language.places import Environment
from compiler.language.source import read_tree
from tests.compiler.placed import LOCK, lock
from tests.compiler.project import REPOSITORY, Project, Result


def lock_of(tmp_path: Path, *texts: str) -> Lock:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.lock")
        files[-1].write_text(text)
    return read_environment_lock(files, Position("here"))


def refused(project: Project) -> Result:
    found = project.lethe("validate", "specs/toy.yaml")
    assert found.code == 1, found.out
    return found


# --- locks ----------------------------------------------------------------------------------------------------------------


def test_a_lock_is_read_as_pip_and_uv_write_it(tmp_path: Path) -> None:
    text = f"""\
# by uv
aiohttp==3.14.5 \\
    --hash=sha256:{"0" * 64} \\
    --hash=sha256:{"1" * 64}
    # via -r some.in
Ray[default]==2.60.0 ; python_version >= "3.11" \\
    --hash=sha256:{"2" * 64}
"""
    found = lock_of(tmp_path, text, "torch==2.13.0+cpu  # of this index\n")
    assert {name: str(pin.version) for name, pin in found.packages.items()} == {
        "aiohttp": "3.14.5", "ray": "2.60.0", "torch": "2.13.0+cpu",
    }  # fmt: skip
    assert [(pin.position.line, Path(pin.position.file).name) for pin in found.packages.values()] == [
        (2, "0.lock"), (6, "0.lock"), (1, "1.lock"),
    ]  # fmt: skip
    assert [file.name for file in found.hashed] == ["0.lock"]


def test_its_hash_is_that_of_all_its_bytes_as_sha256sum_says(tmp_path: Path) -> None:
    found = lock_of(tmp_path, "a==1\n", "b==2\n")
    assert found.digest == hashlib.sha256(b"a==1\nb==2\n").hexdigest()
    said = subprocess.run(
        ["bash", "-c", "cat 0.lock 1.lock | sha256sum"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[0] == found.digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("torch==2.13.0\ntorch>=2\n", "0.lock:2:1: error: a lock's line pins one package: NAME==VERSION"),
        ("-r other.txt\n", "0.lock:1:1: error: a lock's line pins one package: NAME==VERSION"),
        ("torch==2.x\n", "0.lock:1:1: error: '2.x' is no version of torch"),
        ("torch==2.1\nTorch==2.2\n", "0.lock:2:1: error: Torch is pinned to 2.2 here, and to 2.1 at"),
    ],
)
def test_what_pins_nothing_is_told_at_its_line(text: str, told: str, placed: Project) -> None:
    lock(placed, text)
    assert told.replace("0.lock", "small.lock") in refused(placed).err


def test_a_lock_that_is_not_there_is_told_where_it_is_named(placed: Project) -> None:
    (placed.root / "locks/small.lock").unlink()
    (error,) = refused(placed).errors
    assert error.startswith("specs/catalog/environments.yaml:5:12: error: the lock ") and "cannot be read" in error


def test_a_cluster_that_names_no_environment_of_the_catalog_is_told_the_nearest(placed: Project) -> None:
    placed.edit("catalog/places.yaml", "environment: small", "environment: smal")
    found = refused(placed)
    assert "there is no environment 'smal'" in found.err and "did you mean 'small'?" in found.err


# --- what does not live together --------------------------------------------------------------------------------------------

CONFLICTS = [
    ("verl==0.9.1\ntrl==1.16.0\n", "trl 1.16.0 does not live with verl 0.9.1"),
    ("verl==0.9.1\ntrl==1.13.0\n", "trl 1.13.0 does not live with verl 0.9.1"),
    ("verl==0.9.1\nhydra-core==0.11.3\n", "hydra-core 0.11.3 does not live with verl 0.9.1"),
    ("verl==0.9.1\nhydra-core==1.4.0rc3\n", "hydra-core 1.4.0rc3 does not live with verl 0.9.1"),
    ("hydra-core==1.3.8\nantlr4-python3-runtime==4.11.0\n", "antlr4-python3-runtime 4.11.0 does not live with hydra-core"),
    ("omegaconf==2.3.1\nantlr4-python3-runtime==4.13.2\n", "antlr4-python3-runtime 4.13.2 does not live with omegaconf"),
    ("gem-llm==0.1.0\nhydra-core==1.3.8\nmath-verify==0.3.3\n", "math-verify 0.3.3 does not live with gem-llm"),
    ("verl==0.9.1\ntransformers==5.17.0\n", "transformers 5.17.0 does not live with verl 0.9.1"),
    ("verl==0.9.1\nvllm==0.31.0\n", "vllm 0.31.0 does not live with verl 0.9.1"),
    ("verl==0.9.1\nvllm==0.24.0\ntorch==2.13.0\n", "torch 2.13.0 does not live with verl 0.9.1, vllm 0.24.0"),
    ("verl==0.9.1\ntensordict==0.9.0\n", "tensordict 0.9.0 does not live with verl 0.9.1"),
    ("vllm==0.33.0\ntransformers==5.9.0\n", "transformers 5.9.0 does not live with vllm 0.33.0"),
    ("trl==1.12.0\nvllm==0.31.0\n", "vllm 0.31.0 does not live with trl 1.12.0"),
    ("trl==1.16.0\nvllm==0.19.0\n", "vllm 0.19.0 does not live with trl 1.16.0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), CONFLICTS)
def test_a_known_conflict_in_a_lock_is_told(text: str, told: str, tmp_path: Path) -> None:
    found = list(broken(lock_of(tmp_path, text)))
    assert len(found) == 1 and found[0].message.startswith(told) and found[0].hint


def test_every_row_of_the_table_is_met_by_one_of_these_locks(tmp_path: Path) -> None:
    """A row that no lock here breaks is a row that nobody tried."""
    met = [mistake.hint for text, _ in CONFLICTS for mistake in broken(lock_of(tmp_path, text))]
    assert [row for row in rows() if not any(row.source in hint for hint in met)] == []


@pytest.mark.parametrize(
    "text",
    [
        "verl==0.9.1\ntrl==1.12.0\nhydra-core==1.3.8\n",
        "verl==0.9.1\nvllm==0.24.0\ntorch==2.11.0\n",
        "trl==1.16.0\nvllm==0.31.0\n",
    ],
)
def test_what_lives_together_is_let_be(text: str, tmp_path: Path) -> None:
    assert list(broken(lock_of(tmp_path, text))) == []


def test_a_study_on_a_lock_that_breaks_a_row_does_not_compile(placed: Project) -> None:
    lock(placed, LOCK + "verl==0.9.1\ntransformers-stream==1.0\nhydra-core==1.4.0rc3\n")
    (error,) = refused(placed).errors
    assert "locks/small.lock:7:1: error: hydra-core 1.4.0rc3 does not live with verl 0.9.1: VeRL does not bound Hydra" in error


@pytest.mark.parametrize("name", ["verl", "trl-eval", "cpu"])
def test_the_committed_locks_are_whole_and_break_no_row(name: str) -> None:
    path = REPOSITORY / "specs/catalog/environments.yaml"
    said = Environment.model_validate(read_tree(path).data["environments"][name])
    files = [path.parent / file for file in said.lock]
    found = read_environment_lock(files, Position(str(path)))
    assert list(broken(found)) == []
    assert {file.name for file in files} - {file.name for file in found.hashed} <= {"torch.txt"}
    other_names = {"lm_eval": "lm-eval", "hydra": "hydra-core"}
    tops = {module.split(".")[0] for module in said.imports}
    assert {other_names.get(top, top) for top in tops} <= set(found.packages)


# --- jobs and their environments ----------------------------------------------------------------------------------------------


def test_a_package_that_a_backend_needs_must_be_locked(placed: Project) -> None:
    lock(placed, LOCK.replace("trl==1.12.0\n", ""))
    (error,) = refused(placed).errors
    assert error.endswith("error: sft of backend 'trl' needs trl==1.12.*, which environment 'small' has not")
    assert error.startswith("specs/catalog/places.yaml:")


def test_so_must_one_that_only_some_of_its_jobs_need(tmp_path: Path) -> None:
    bare = {"about": "No tasks", "python": "3.11", "lock": ["bare.lock"], "imports": ["torch"], "provides": ["gpu", "network"]}
    places = "{train: {environment: bare}, verl: {provides: [flash_attn]}}"
    asked = f", environments: {places}}}\n  environments: {{bare: {bare}}}\n  #"
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/bare.lock").write_text(LOCK)
    assert real(tmp_path, "mila", asked).code == 0
    found = real(tmp_path, "mila", asked, domain="reasoning_math")
    (error,) = found.errors
    needs = "prepare_reasoning_gym of backend 'native' needs reasoning-gym"
    assert error.endswith(f"error: {needs}, which environment 'bare' has not")


def test_so_must_one_that_a_grader_needs(placed: Project) -> None:
    lock(placed, LOCK.replace("math-verify==0.9.0\n", ""))
    (error,) = refused(placed).errors
    assert error.endswith("error: grader 'math' needs math-verify, which environment 'small' has not")


@pytest.mark.parametrize("domain", ["reasoning_math", "reasoning_qa", "gem_math", "gem_qa", "gem_code"])
def test_the_environments_of_a_cluster_have_what_the_domains_need(tmp_path: Path, domain: str) -> None:
    found = real(tmp_path, "mila", ", environments: {verl: {provides: [flash_attn]}}", domain=domain)
    assert found.code == 0, found.err


def test_so_must_its_version(placed: Project) -> None:
    lock(placed, LOCK.replace("1.12.0", "1.16.0"))
    found = refused(placed)
    assert "error: sft of backend 'trl' needs trl==1.12.*, and environment 'small' has 1.16.0" in found.err
    assert "small.lock:3" in found.err


def test_jobs_with_gpus_need_an_environment_that_has_them(placed: Project) -> None:
    placed.edit("catalog/environments.yaml", "provides: [gpu, network]", "provides: [network]")
    (error,) = refused(placed).errors
    assert "ask for GPUs in environment 'small', which provides none" in error


def test_a_cluster_adds_to_what_its_environment_provides_and_takes_away(placed: Project) -> None:
    placed.edit("catalog/environments.yaml", "provides: [gpu, network]", "provides: [network]")
    placed.edit("catalog/places.yaml", "environment: small", "environment: small\n        provides: [gpu]")
    assert placed.lethe("validate", "specs/toy.yaml").code == 0


def real(tmp_path: Path, cluster: str, extra: str = "", domain: str = "math") -> Result:
    """Validate a study of the real catalog whose GRPO trains with flash-attention, on a cluster that extends mila."""
    spec = tmp_path / "specs/study.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    if not (spec.parent / "catalog").exists():
        (spec.parent / "catalog").symlink_to(REPOSITORY / "specs/catalog")
    spec.write_text(f"""\
study: attending
about: GRPO with flash-attention
cluster: ours
axes: {{method: [on_rl], domain: [{domain}], start: [base], scale: [4b]}}
evaluate: {{suites: [forgetting]}}
define:
  algorithms:
    grpo: {{extends: grpo, settings: {{attention: flash_attention_2}}}}
  clusters:
    ours: {{extends: {cluster}{extra}}}
""")
    return Project(tmp_path).lethe("validate", "specs/study.yaml")


def test_flash_attention_needs_an_environment_that_has_it(tmp_path: Path) -> None:
    found = real(tmp_path, "mila")
    (error,) = found.errors
    assert "specs/study.yaml:8:" in error
    assert "'attention' of train/on_rl_math_base_4b needs flash_attn, which environment 'verl' does not provide" in error


def test_a_site_with_its_own_build_of_it_says_so(tmp_path: Path) -> None:
    assert real(tmp_path, "mila", ", environments: {verl: {provides: [flash_attn]}}").code == 0


def test_tasks_that_parse_latex_need_an_environment_with_the_parser(tmp_path: Path) -> None:
    tasks = "forgetting: {extends: forgetting, settings: {tasks: {minerva_math: 'math_verify,none'}}"
    asked = ", environments: {verl: {provides: [flash_attn]}%s}}\n  suites:\n    " + tasks
    found = real(tmp_path, "mila", asked % ", eval: {without: [latex]}")
    (error,) = found.errors
    assert "needs latex, which environment 'trl-eval' does not provide" in error
    assert real(tmp_path / "elsewhere", "mila", asked % "").code == 0


def test_a_place_without_network_warns_of_what_fetches(tmp_path: Path) -> None:
    found = real(tmp_path, "narval", ", account: def-us, environments: {verl: {provides: [flash_attn]}}")
    assert found.code == 0, found.err
    assert "need the network, which environment 'train' of cluster ours lacks: run their scripts first, by hand" in found.err


# --- preflight ----------------------------------------------------------------------------------------------------------------


def test_every_job_runs_after_the_preflight_of_its_environment(placed: Project) -> None:
    placed.compile()
    jobs = placed.jobs()
    digest = hashlib.sha256(LOCK.encode()).hexdigest()
    first = jobs["preflight/train"]
    assert (first["kind"], first["output"], first["inputs"], first["after"]) == ("preflight", "environment", [], [])
    assert {job["lock"] for job in jobs.values()} == {digest}
    assert {name: job["after"] for name, job in jobs.items() if job["after"] != ["preflight/train"]} == {
        "preflight/train": [], "report/toy": [],
    }  # fmt: skip
    assert placed.plan()["jobs"][0]["id"] == "preflight/train"


def test_it_takes_the_least_that_jobs_there_ask_for_with_a_gpu_if_they_have_one(placed: Project) -> None:
    placed.compile()
    assert placed.jobs()["preflight/train"]["resources"]["class"] == "eval"
    own = "      preflight: {time: 0:20:00, cpus: 1, mem: 8G, gpus: 1}\n"
    placed.edit("catalog/places.yaml", "      cpu: {partition: main-cpu", f"{own}      cpu: {{partition: main-cpu")
    placed.compile()
    assert placed.jobs()["preflight/train"]["resources"]["class"] == "preflight"


def test_the_scripts_say_the_order_and_the_contracts_where_they_run(placed: Project) -> None:
    placed.compile()
    lines = (placed.tree / "submit_all.sh").read_text().splitlines()
    train = next(line for line in lines if line.startswith("submit train/gt_sft_sums_base_nano "))
    assert train.endswith(" preflight/train") and " after " in train
    contract = json.loads((placed.tree / "jobs/train/gt_sft_sums_base_nano.json").read_text())
    assert contract["environment"] == {"name": "train", "lock": hashlib.sha256(LOCK.encode()).hexdigest()}
    assert "preflight/train" not in {item["job"] for item in contract["inputs"].values()}


def test_the_order_and_the_lock_are_no_part_of_a_fingerprint(placed: Project) -> None:
    placed.compile()
    before = placed.jobs()
    lock(placed, LOCK + "numpy==2.3.5\n")
    found = placed.diff()
    placed.compile()
    now = placed.jobs()
    changed = {name for name in now if now[name]["fingerprint"] != before[name]["fingerprint"]}
    assert changed == {"preflight/train"}
    assert "lock" in json.dumps(found)
    placed.edit("toy.yaml", "cluster: gres_site", "cluster: here")
    placed.compile()
    here = placed.jobs()
    assert {name: job["fingerprint"] for name, job in here.items()} == {
        name: job["fingerprint"] for name, job in before.items() if name != "preflight/train"
    }


def test_on_this_machine_and_where_no_catalog_knows_the_environment_there_is_none(project: Project) -> None:
    assert {(job["lock"], tuple(job["after"])) for job in project.compile()["jobs"]} == {(None, ())}
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    assert {(job["lock"], tuple(job["after"])) for job in project.compile()["jobs"]} == {(None, ())}


def test_another_place_for_the_same_lock_is_tried_again(placed: Project) -> None:
    placed.compile()
    before = placed.jobs()["preflight/train"]["fingerprint"]
    placed.edit("catalog/places.yaml", "$SCRATCH/envs/train/bin/activate", "$SCRATCH/envs/other/bin/activate")
    placed.compile()
    assert placed.jobs()["preflight/train"]["fingerprint"] != before


def test_its_own_script_runs_and_every_done_marker_names_the_lock(placed: Project) -> None:
    """The script as Slurm would run it, in this Python, whose own versions are locked."""
    names = {line.split("==")[0] for line in LOCK.splitlines()}
    pins = "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in sorted(names))
    lock(placed, pins.replace("+cpu", ""))
    placed.edit("catalog/environments.yaml", "imports: [torch, transformers]", "imports: [yaml]")
    places = placed.root / "specs/catalog/places.yaml"
    places.write_text(re.sub(r", gpus: [12](, gpu: a100l)?", "", places.read_text()))
    placed.compile()
    activate = placed.root / "scratch/envs/train/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"export PATH={Path(sys.executable).parent}:$PATH\n")
    (placed.root / "runtime").symlink_to(REPOSITORY / "runtime")
    environment = {"SCRATCH": str(placed.root / "scratch"), "LETHE_ROOT": str(placed.root)}
    done = placed.shell("bash", "generated/toy/jobs/preflight/train.sh", environment=environment)
    assert done.code == 0, done.out + done.err
    (folder,) = (placed.root / "scratch/lethe/preflight").iterdir()
    digest = hashlib.sha256((placed.root / "locks/small.lock").read_bytes()).hexdigest()
    marker = json.loads((folder / "DONE.json").read_text())
    assert marker["environment"] == {"name": "train", "lock": digest} and marker["facts"]["packages"] == len(names)
    assert set(json.loads((folder / "installed.json").read_text())["locked"]) == names
    prepare = placed.shell("bash", "generated/toy/jobs/prepare/sums.sh", environment=environment)
    assert prepare.code == 0, prepare.out + prepare.err
    (rows,) = (placed.root / "scratch/lethe/prepare").iterdir()
    assert json.loads((rows / "DONE.json").read_text())["environment"] == {"name": "train", "lock": digest}


def test_its_lines_are_explained(placed: Project) -> None:
    placed.compile()
    lines = (placed.tree / "configs/preflight/train.yaml").read_text().splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if line.startswith("lock:"))
    found = placed.lethe("explain", f"generated/toy/configs/preflight/train.yaml:{number}")
    assert found.code == 0 and "environment small" in found.out and "specs/catalog/places.yaml" in found.out


# --- a lock that changes ---------------------------------------------------------------------------------------


def test_a_lock_that_changed_is_compiled_with_anew(placed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = placed.compile()
    lock(placed, LOCK + "numpy==2.0.0\n")
    after = placed.compile()
    assert {job["lock"] for job in before["jobs"]}.isdisjoint(job["lock"] for job in after["jobs"])


def test_the_lock_of_a_study_holds_the_hash_of_each_environment(placed: Project) -> None:
    placed.lethe("lock", "specs/toy.yaml")
    assert hashlib.sha256(LOCK.encode()).hexdigest() in (placed.root / "specs/toy.lock").read_text()
    lock(placed, LOCK + "numpy==2.3.5\n")
    found = placed.lethe("compile", "specs/toy.yaml", "--locked")
    assert found.code == 1 and "environment train has changed: it was" in found.err
