"""The verbs about a study on a cluster: they hand a choice of jobs to the runtime, and `cluster probe` writes a profile."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest

from compiler.diagnostics import Position
from compiler.language.catalog import read_catalog
from compiler.language.places import Cluster
from compiler.language.source import Tree
from compiler.plan.plan import graph, read_plan
from compiler.verbs.choosing import jobs_of
from tests.compiler.project import BIN, REPOSITORY, Project, Result
from tests.compiler.stored import finish, record
from tests.tools import without_slurm

GENERIC = """
clusters:
  slurm:
    about: Any Slurm cluster
    executor: slurm
    store: "$HOME/lethe"
    limits: {submitted: 1000}
    environments:
      train: {activate: "$HOME/envs/train/bin/activate"}
      verl: {activate: "$HOME/envs/verl/bin/activate"}
      eval: {activate: "$HOME/envs/eval/bin/activate"}
    resources:
      cpu: {time: "3:00:00", cpus: 4, mem: 32G}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy study, compiled for a Slurm that is not there; two rows are done, one training was submitted."""
    project = Project.make(tmp_path_factory.mktemp("study") / "project")
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.compile()
    (project.root / "runtime").symlink_to(REPOSITORY / "runtime")
    for job in ("prepare/facts", "prepare/sums"):
        finish(project, job)
    record(project, "submitted", "train/gt_sft_facts_base_nano", number=7)
    return project


def lethe(project: Project, *words: str, path: Path | None = None) -> Result:
    """`lethe` in a process of its own, which the runtime takes over; `path` comes first on PATH."""
    folders = [*([path] if path else []), without_slurm(project.root / "tools")]
    environment = {"LETHE_STORE": str(project.root / "store"), "PATH": os.pathsep.join(map(str, folders))}
    return project.shell(str(BIN / "lethe"), *words, environment=environment)


def slurm(folder: Path, **answers: str) -> Path:
    """A folder of programs that print these answers."""
    folder.mkdir(exist_ok=True)
    for name, text in answers.items():
        (folder / f"{name}.out").write_text(text)
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $*" >> "{folder}/calls"\ncat "{folder}/{name}.out"\n')
        (folder / name).chmod(0o755)
    return folder


# ---- which jobs ---------------------------------------------------------------------------------------------------------


def test_status_is_of_the_jobs_that_a_selection_means(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    document = json.loads(lethe(study, "status", "specs/toy.yaml", "method:gt_sft,stage:train", "--json", path=bin).out)
    assert {job["kind"] for job in document["jobs"]} == {"train"}
    assert {cell["axes"]["method"] for cell in document["cells"]} == {"gt_sft", "staged"}, "staged begins with gt_sft"
    states = {job["job"]: job["state"] for job in document["jobs"]}
    assert states.pop("train/gt_sft_facts_base_nano") == "failed"
    assert set(states.values()) == {"never"}


def test_status_of_the_whole_study_is_a_matrix(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    result = lethe(study, "status", "specs/toy.yaml", path=bin)
    assert result.code == 3
    lines = result.out.splitlines()
    assert lines[0].split()[-2:] == study.plan()["axes"]["domain"][-2:]
    assert [line.split()[0] for line in lines[1:4]] == study.plan()["axes"]["method"][:3]
    assert "failed train" in result.out


def test_without_slurm_the_files_tell_and_it_is_said(study: Project) -> None:
    result = lethe(study, "status", "specs/toy.yaml", "job:prepare/facts|prepare/sums")
    assert (result.code, result.out.splitlines()[-1].split()) == (0, ["all", "2"])
    assert (
        "note: there is no squeue here; ask for the status on a machine of the cluster. This is told from files" in result.err
    )


@pytest.mark.parametrize("verb", ["status", "triage", "retry", "cancel", "storage"])
def test_a_selection_that_means_nothing_is_one_message(verb: str, study: Project) -> None:
    result = lethe(study, verb, "specs/toy.yaml", "method:gt_sff")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == ["'method:gt_sff': there is no method 'gt_sff'", "  hint: did you mean 'gt_sft'?"]
    assert "no job is what 'stage:mix' selects" in lethe(study, verb, "specs/toy.yaml", "stage:mix").err


@pytest.mark.parametrize("words", [["status"], ["triage"], ["retry"], ["cancel"], ["logs", "x"], ["replay", "x"], ["storage"]])
def test_every_verb_asks_for_a_compiled_study(words: list[str], project: Project) -> None:
    result = project.lethe(words[0], "specs/toy.yaml", *words[1:])
    assert result.code == 1
    assert result.err.startswith("specs/toy.yaml is not compiled yet")


@pytest.mark.parametrize(
    ("words", "handed"),
    [
        (["status", "--watch", "--json"], ["status", "--json", "--watch", "30.0"]),
        (["status", "prepare/sums", "--watch", "60"], ["status", "--jobs", "prepare/sums", "--watch", "60.0"]),
        (["triage", "prepare/sums"], ["triage", "--jobs", "prepare/sums"]),
        (["retry", "--dry-run", "--yes"], ["retry", "--dry-run", "--yes"]),
        (["cancel", "prepare/sums", "--yes"], ["cancel", "--jobs", "prepare/sums", "--yes"]),
        (["logs", "--follow", "--lines", "5", "a b"], ["logs", "--follow", "--lines", "5", "--", "a b"]),
        (["replay", "prepare/sums"], ["replay", "--", "prepare/sums"]),
        (["storage", "keep", "prepare/sums", "--most", "3"], ["storage", "--keep", "--most", "3", "--jobs", "prepare/sums"]),
        (["storage", "archive", "/far", "--remove"], ["storage", "--archive", "/far", "--remove"]),
        (["storage"], ["storage"]),
    ],
)
def test_what_the_runtime_is_told(words: list[str], handed: list[str], study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words without the plan's, and with the ids in place of the file that they are in."""
    told: list[str] = []

    def instead(program: str, words: list[str], environment: dict[str, str]) -> None:
        told.extend(Path(word).read_text().strip() if word.startswith("/dev/fd/") else word for word in words[3:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", instead)
    result = study.lethe(words[0], "specs/toy.yaml", *words[1:])
    assert (result.code, result.err) == (0, "")
    assert told.pop(1) == str(study.tree / "plan.json")
    assert told == handed


def test_a_selection_by_result_asks_how_jobs_are_doing(study: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_STORE", str(study.root / "store"))
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    monkeypatch.setenv("PATH", os.pathsep.join([str(bin), str(without_slurm(tmp_path / "tools"))]))
    assert jobs_of(study.tree / "plan.json", ["result:done"], None) == ["prepare/sums", "prepare/facts"]


# ---- what is done about it ----------------------------------------------------------------------------------------------


def test_the_words_of_a_triage_select_what_it_grouped(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|OUT_OF_MEMORY|0:125\n")
    (group,) = json.loads(lethe(study, "triage", "specs/toy.yaml", "--json", path=bin).out)["groups"]
    assert (group["signature"], group["jobs"]) == ("host-oom", ["train/gt_sft_facts_base_nano"])
    listed = lethe(study, "ls", "specs/toy.yaml", group["select"], "--json", path=bin)
    assert [job["job"] for job in json.loads(listed.out)] == group["jobs"]


def test_retry_submits_what_failed_and_what_that_still_needs(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    result = lethe(study, "retry", "specs/toy.yaml", "method:gt_sft", "--dry-run", path=bin)
    assert result.code == 0, result.err
    assert "1 job (1 failed) to submit again" in result.err
    whole, failed = graph(read_plan(study.tree / "plan.json").jobs), "train/gt_sft_facts_base_nano"
    needed = {failed, *nx.ancestors(whole, failed)} - {"prepare/facts", "prepare/sums"}
    assert {Path(script).stem for script in re.findall(r"\S+/jobs/(\S+)\.sh", result.out)} == {Path(job).stem for job in needed}


def test_retry_says_that_the_spec_was_edited_since(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    assert "has changed since" not in lethe(study, "retry", "specs/toy.yaml", "--dry-run", path=bin).err
    before = study.spec.read_text()
    study.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    result = lethe(study, "retry", "specs/toy.yaml", "--dry-run", path=bin)
    study.spec.write_text(before)
    assert "note: specs/toy.yaml has changed since it was compiled; what is retried is what was compiled" in result.err


def test_cancel_withdraws_by_the_ids_in_the_ledger(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="7|renamed|RUNNING|None|-\n", sacct="", scancel="")
    result = lethe(study, "cancel", "specs/toy.yaml", "stage:train", "--yes", "--store", str(tmp_path / "other"), path=bin)
    assert "nothing of this is queued or running" in result.err
    result = lethe(study, "cancel", "specs/toy.yaml", "stage:train", path=bin)
    assert result.code == 1 and "cancel 1 job (1 running)" in result.err
    assert "scancel" not in (bin / "calls").read_text()


def test_replay_and_logs_take_a_cell(study: Project, tmp_path: Path) -> None:
    bin = slurm(tmp_path / "bin", squeue="", sacct="7|FAILED|1:0\n")
    log = study.root / "store/logs/toy/train.gt_sft_facts_base_nano-7.out"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("it broke\n")
    assert lethe(study, "logs", "specs/toy.yaml", "gt_sft_facts_base_nano", path=bin).out == "it broke\n"
    replay = lethe(study, "replay", "specs/toy.yaml", "gt_sft_facts_base_nano", "--json", path=bin)
    words = json.loads(replay.out)["command"]
    assert words[-1] == str(study.tree / "jobs/train/gt_sft_facts_base_nano.sh")
    assert f"LETHE_STORE={study.root / 'store'}" in words


def test_storage_knows_the_clusters_quota_and_deletions(project: Project) -> None:
    old = "    about: This machine, without Slurm\n"
    project.edit("catalog/places.yaml", old, f"{old}    quota: 1M\n    purge: {{days: 90}}\n")
    project.compile()
    finish(project, "prepare/facts")
    result = lethe(project, "storage", "specs/toy.yaml", "stage:prepare")
    assert "quota 1.0M" in result.out and "deleted after 90 days without use" in result.out


@pytest.mark.parametrize(
    ("words", "message"), [(["archive"], "archive needs a folder to copy to"), (["--remove"], "--remove goes with archive")]
)
def test_wrong_words_for_storage_are_one_message(words: list[str], message: str, study: Project) -> None:
    result = lethe(study, "storage", "specs/toy.yaml", *words)
    assert result.code == 1 and message in result.err


def test_storage_archives_what_is_chosen(study: Project, tmp_path: Path) -> None:
    result = lethe(study, "storage", "specs/toy.yaml", "archive", str(tmp_path / "far"), "prepare/sums", "--json")
    assert json.loads(result.out)["archived"] == ["prepare/sums"]
    assert json.loads(lethe(study, "storage", "specs/toy.yaml", "keep", "stage:prepare", "--json").out)["artifacts"] == 2


# ---- a new cluster ------------------------------------------------------------------------------------------------------

SINFO = """\
gpu*|1-00:00:00|12|64|515000|gpu:a100:4(S:0-1)
gpu*|1-00:00:00|3|48|257000|gpu:v100:8(S:0-1),shard:v100:16
cpu|7-00:00:00|40|96|768000+|(null)
debug|1:00:00|1|8|16000|gpu:1
slow|7-00:00:00|1|32|128000|gpu:a100:2
forever|infinite|2|32|128000|(null)
odd name|1:00|0|1|1|(null)
"""
CONFIG = """\
Configuration data as of 2026-01-01T00:00:00
ClusterName             = new place
DependencyParameters    = kill_invalid_depend
JobRequeue              = 0
MaxArraySize            = 1001
MaxJobCount             = 10000
SLURM_VERSION           = 24.11.7
"""


Probe = Callable[..., Result]


@pytest.fixture
def probe(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """`lethe cluster probe` where Slurm answers as above, and names these accounts."""

    def run(*words: str, accounts: str = "def-me|||normal\n") -> Result:
        monkeypatch.setenv("PATH", os.pathsep.join([str(programs(tmp_path / "bin", accounts)), "/usr/bin", "/bin"]))
        return project.lethe("cluster", "probe", *words)

    return run


def programs(folder: Path, accounts: str) -> Path:
    bin = slurm(folder, sinfo=SINFO, scontrol=CONFIG)
    script = f'#!/bin/sh\ncase "$*" in *assoc*) printf "%s" \'{accounts}\' ;; *qos*) echo "normal||gres/gpu=4|1000" ;; esac\n'
    (bin / "sacctmgr").write_text(script)
    (bin / "sacctmgr").chmod(0o755)
    return bin


def test_a_probed_profile_is_fit_for_a_study(project: Project, probe: Probe) -> None:
    (project.root / "specs/catalog/generic.yaml").write_text(GENERIC)
    result = probe()
    assert (result.code, result.err) == (0, "")
    (project.root / "specs/catalog/new.yaml").write_text(result.out)
    project.edit("toy.yaml", "cluster: here", "cluster: new_place")
    validated = project.lethe("validate", "specs/toy.yaml")
    assert (validated.code, validated.err) == (0, "")
    project.compile()
    script = (project.tree / "jobs/train/on_rl_facts_base_nano.sh").read_text()
    assert "#SBATCH --account=def-me" in script and "#SBATCH --partition=gpu" in script


def test_a_probed_profile_says_what_slurm_says_and_marks_what_it_does_not(probe: Probe) -> None:
    out = probe("--name", "mine").out
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "# A first profile, from what Slurm says of itself (24.11.7). Look through it: what one"
    assert "# MaxArraySize 1001, MaxJobCount 10000; jobs are requeued by default: no" in lines
    assert "# QOS normal: gres/gpu=4, 1000" in lines
    assert "mine:" in lines
    assert 'account: "def-me"' in lines
    assert "# arrays: {at_once: 20, most: 1001}    # if alike jobs are to go in as arrays, 20 at a time" in lines
    assert "kill_on_invalid_dep: true    # Slurm does so there in any case" in lines
    assert 'gpu: {time: "1-00:00:00"}    # 15 nodes, 64 CPUs, 515 GB, 4 x a100, 8 x v100; the default' in lines
    assert "forever: {}    # 2 nodes, 32 CPUs, 128 GB" in lines
    assert '# odd name: {time: "1:00"}    # 0 nodes, 1 CPUs, 0 GB' in lines
    assert "#   a100: {gigabytes: ?}" in lines
    assert 'rl: {partition: "slow", time: "2-00:00:00", cpus: 8, mem: 64G, gpus: 2, gpu: "a100"}' in lines, "gpu allows a day"
    assert 'train: {partition: "gpu", time: "12:00:00", cpus: 8, mem: 64G, gpus: 2}    # gpu: one of a100, v100' in lines


def test_of_several_accounts_none_is_guessed(probe: Probe) -> None:
    out = probe(accounts="def-a||50|normal\nrrg-b||1000|normal\n").out
    assert "account: null                # one of: def-a, rrg-b" in out
    assert "limits: {submitted: 50}" in out


def test_the_facts_are_there_as_json(probe: Probe) -> None:
    found = json.loads(probe("--json").out)
    assert (found["name"], found["version"], found["array_size"]) == ("new place", "24.11.7", 1001)
    assert found["partitions"][2]["gpus"] == {"": 1}


def test_without_slurm_there_is_nothing_to_probe(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = project.lethe("cluster", "probe")
    assert (result.code, result.err) == (1, "there is no sinfo here; run this on a login node of the cluster\n")


def test_without_accounting_the_rest_is_told(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin = slurm(tmp_path / "bin", sinfo="cpu|infinite|1|4|8000|(null)\n", scontrol="")
    monkeypatch.setenv("PATH", os.pathsep.join([str(bin), str(without_slurm(tmp_path / "tools"))]))
    monkeypatch.setenv("SCRATCH", "/scratch")
    lines = [line.strip() for line in project.lethe("cluster", "probe").out.splitlines()]
    assert not [line for line in lines if line.startswith("account:")]
    assert 'store: "$SCRATCH/lethe"' in lines
    assert "# train: no partition has GPUs" in lines
    assert 'cpu: {partition: "cpu", time: "3:00:00", cpus: 4, mem: 7G}' in lines


def test_a_slurm_that_does_not_answer_is_one_message(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin = slurm(tmp_path / "bin", sinfo="")
    (bin / "sinfo").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", str(bin))
    result = project.lethe("cluster", "probe")
    assert result.code == 1
    assert "Unable to contact slurm controller; ask again when Slurm answers" in result.err


def test_no_machine_learning_is_loaded_to_ask(study: Project) -> None:
    code = "import sys\nfrom compiler.verbs.choosing import jobs_of\nfrom pathlib import Path\n"
    code += "jobs_of(Path('generated/toy/plan.json'), ['stage:train'], None)\nprint(*{m.split('.')[0] for m in sys.modules})"
    result = study.shell(sys.executable, "-c", code, environment={"PYTHONPATH": str(REPOSITORY)})
    assert not {"torch", "transformers", "runtime"} & set(result.out.split())


# ---- the clusters that are there ----------------------------------------------------------------------------------------


def test_a_catalog_may_have_folders(project: Project) -> None:
    before = project.compile()
    folder = project.root / "specs/catalog"
    (folder / "clusters").mkdir()
    (folder / "places.yaml").rename(folder / "clusters/places.yaml")
    assert project.compile() == before


@pytest.mark.parametrize("name", ["mila", "narval", "cedar", "graham", "fir", "nibi", "slurm", "local"])
def test_every_cluster_has_what_the_catalogs_backends_and_classes_need(name: str) -> None:
    catalog = read_catalog([REPOSITORY / "specs/catalog"], Tree("none", {}))
    cluster = catalog.get(Cluster, name, Position("here"))
    assert {"train", "verl", "eval"} <= set(cluster.environments)
    assert {"cpu", "gpu", "train", "rl", "eval", "teacher", "teacher_large"} <= set(cluster.resources)
    asked = {resources.gpu for resources in cluster.resources.values()} - {None}
    assert asked <= set(cluster.gpus)
    assert set(filter(None, (resources.partition for resources in cluster.resources.values()))) <= set(cluster.partitions)
