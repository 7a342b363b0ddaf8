"""`python -m compiler.backends.extract`: the shipped options are what the pinned packages have, to the last default."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from omegaconf import OmegaConf
from reasoning_gym.factory import DATASETS

from compiler.backends import TEMPLATES
from compiler.backends.complete import default
from compiler.backends.extract.__main__ import main
from tests.backends.test_verl import verl_config

SHIPPED = sorted(TEMPLATES.glob("backends/*/options/**/*.json"))
VERL = {"sft": "sft_trainer_engine", "grpo": "ppo_trainer", "distill": "ppo_trainer"}
INSTALLED = ("lm_eval", "native", "trl", "verl")


@cache
def options(backend: str, what: str) -> Any:
    return json.loads((TEMPLATES / "backends" / backend / "options" / f"{what}.json").read_text(encoding="utf-8"))


def leaves(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    for name, inner in schema["properties"].items():
        if "properties" in inner:
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


# ---- what is shipped -------------------------------------------------------------------------------------------------


def test_what_is_shipped_is_what_the_installed_packages_have() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "compiler.backends.extract", "--check", *INSTALLED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.relative_to(TEMPLATES).parts[1]}-{file.stem}")
def test_every_option_has_a_source_and_a_default_that_it_allows(file: Path) -> None:
    schema = json.loads(file.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    for path, option in leaves(schema):
        assert option["x-source"], path
        linked = isinstance(option.get("default"), str) and ("${" in option["default"] or option["default"] == "???")
        if "default" in option and not linked and "x-known" not in option:
            assert Draft202012Validator(option).is_valid(option["default"]), path


@pytest.mark.parametrize("backend", INSTALLED)
def test_the_version_is_the_installed_one(backend: str) -> None:
    for file in (TEMPLATES / "backends" / backend / "options").rglob("*.json"):
        package = json.loads(file.read_text(encoding="utf-8"))["x-package"]
        assert package["version"] == importlib.metadata.version(package["name"])


def test_reading_the_packages_imports_none_of_them() -> None:
    code = (
        "import sys; from compiler.backends.extract.__main__ import main;"
        "main(['--check', 'verl', 'trl', 'lm_eval', 'native']);"
        "print(*{'torch', 'transformers', 'trl', 'verl', 'lm_eval', 'reasoning_gym', 'ray', 'vllm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_compiling_reads_no_package() -> None:
    """The options stand in the repository, so that no package has to be installed where a study is compiled."""
    code = (
        "import sys; from compiler.backends import part; from compiler.diagnostics import Position;"
        "part('verl', 'grpo', Position('x')); print(*{'hydra', 'omegaconf', 'importlib.metadata'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hydra" not in done.stdout and "omegaconf" not in done.stdout


# ---- held against the packages ---------------------------------------------------------------------------------------


def test_the_tasks_of_reasoning_gym_have_the_fields_of_their_configs() -> None:
    """All but what Lethe gives them itself."""
    said = {
        task: [*options_of["properties"]] for task, options_of in options("native", "defs/reasoning_gym")["properties"].items()
    }
    assert said == {
        task: [field.name for field in fields(config) if field.name not in ("seed", "size")]
        for task, (_, config) in DATASETS.items()
    }


@pytest.mark.parametrize("what", VERL)
def test_verls_options_are_its_composed_tree_in_its_order(what: str) -> None:
    tree = OmegaConf.to_container(verl_config(VERL[what]), resolve=False)
    found = default(options("verl", what))
    assert found == tree and json.dumps(found) == json.dumps(tree)  # the second minds the order


def test_verls_ppo_has_all_its_leaves() -> None:
    """Counted once with OmegaConf (mappings that are empty count as one)."""
    tree = OmegaConf.to_container(verl_config("ppo_trainer"), resolve=False)

    def count(node: Any) -> int:
        return sum(map(count, node.values())) if isinstance(node, dict) and node else 1

    assert sum(1 for _ in leaves(options("verl", "grpo"))) == count(tree) > 800


@pytest.mark.parametrize(
    ("what", "path", "says"),
    [
        ("grpo", "actor_rollout_ref.actor.use_dynamic_bsz", {"type": "boolean"}),
        ("grpo", "actor_rollout_ref.actor.entropy_coeff", {"type": "number", "default": 0}),
        ("grpo", "actor_rollout_ref.actor.optim.min_lr_ratio", {"type": ["number", "null"]}),
        ("grpo", "actor_rollout_ref.ref.log_prob_use_dynamic_bsz", {"type": "boolean"}),
        ("grpo", "data.shuffle", {"type": "boolean", "x-source": "verl/trainer/config/data/legacy_data.yaml"}),
        ("sft", "trainer.total_epochs", {"type": ["integer", "null"], "default": 4}),
        ("sft", "optim._target_", {"const": "verl.workers.config.FSDPOptimizerConfig"}),
    ],
)
def test_verls_types_are_those_of_its_dataclasses_or_of_its_defaults(what: str, path: str, says: Mapping[str, Any]) -> None:
    node: Any = options("verl", what)
    for step in path.split("."):
        node = node["properties"][step]
    assert {key: node[key] for key in says} == says


TRL = {"sft": "SFTConfig", "dpo": "DPOConfig", "grpo": "GRPOConfig", "distill": "DistillationConfig", "sdft": "SDFTConfig"}


@pytest.mark.parametrize("what", TRL)
def test_trls_options_are_the_fields_of_its_config_with_their_defaults(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    import trl
    from trl.experimental import sdft

    real = {f.name: f for f in fields(getattr(trl, TRL[what], None) or getattr(sdft, TRL[what])) if f.init}
    found = options("trl", what)["properties"]
    assert list(found) == list(real)
    for name, field in real.items():
        value = field.default if field.default_factory is MISSING else field.default_factory()
        if "default" in found[name]:
            assert found[name]["default"] == getattr(value, "value", value), name
    assert [name for name in found if "default" not in found[name]] == ["optim"]  # transformers asks torch for its version


def test_what_trls_runtime_sets_by_itself_is_marked() -> None:
    from runtime.train.recipe import OWNED

    for what in TRL:
        found = options("trl", what)["properties"]
        assert {name for name, option in found.items() if "x-set-by" in option} == OWNED & set(found)


def test_lm_evals_options_are_the_fields_of_its_config() -> None:
    from lm_eval.config.evaluate_config import EvaluatorConfig

    assert list(options("lm_eval", "evaluate")["properties"]) == [field.name for field in fields(EvaluatorConfig)]


def test_vllms_options_have_their_choices_and_ranges() -> None:
    engine = options("vllm", "generate")["properties"]["engine"]["properties"]
    sampling = options("vllm", "generate")["properties"]["sampling"]["properties"]
    assert "bfloat16" in engine["dtype"]["enum"] and engine["gpu_memory_utilization"]["maximum"] == 1
    assert engine["tensor_parallel_size"]["minimum"] == 1
    assert sampling["temperature"]["minimum"] == 0 and sampling["max_tokens"]["default"] == 16
    assert not [name for name in (*engine, *sampling) if name.startswith("_")]


# ---- a package of one's own ------------------------------------------------------------------------------------------

SOURCE = '''
"""A package with one of each."""
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Literal, Optional

Speed = Literal["slow", "fast"]
HALF = 0.5


class Color(str, Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Base:
    steps: int = 10
    speed: Speed = "slow"


@dataclass
class Config(Base):
    kind: ClassVar[str] = "none of the options"
    color: Color | str = Color.RED
    share: float = HALF
    names: list[str] = field(default_factory=list)
    more: dict[str, int] | None = None
    limit: Optional[int] = Field(default=None, ge=1, lt=9)
    steps: int = 20
    made: int = field(init=False, default=3)
    late: str = compute()
    free: "Unheard | None" = None
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A backend's folder with a recipe, and the wheel of a package beside it."""
    with zipfile.ZipFile(tmp_path / "toy_pkg-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_pkg/config.py", SOURCE)
    recipe = {"package": "toy-pkg", "files": ["toy_pkg/*.py"], "parts": {"train": {"class": "Config", "at": ["args"]}}}
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return tmp_path


def extract(folder: Path) -> Any:
    assert main([str(folder), "--wheel", str(next(folder.glob("*.whl")))]) == 0
    return json.loads((folder / "options" / "train.json").read_text(encoding="utf-8"))


def test_a_wheel_is_read_by_its_syntax(folder: Path) -> None:
    found = extract(folder)
    assert found["x-package"] == {"name": "toy-pkg", "version": "1.2"} and found["x-at"] == ["args"]
    own = {name: {k: v for k, v in option.items() if k != "x-source"} for name, option in found["properties"].items()}
    assert own == {
        "steps": {"type": "integer", "default": 20},
        "speed": {"enum": ["slow", "fast"], "default": "slow"},
        "color": {"enum": ["red", "blue"], "default": "red"},
        "share": {"type": "number", "default": 0.5},
        "names": {"type": "array", "items": {"type": "string"}, "default": []},
        "more": {"type": ["object", "null"], "default": None},
        "limit": {"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 9, "default": None},
        "late": {"type": "string"},
        "free": {"default": None},
    }
    assert list(own) == ["steps", "speed", "color", "share", "names", "more", "limit", "late", "free"]


def test_what_lethe_knows_better_replaces_the_type_and_names_its_source(folder: Path) -> None:
    known = [{"option": "steps", "says": {"type": "integer", "minimum": 1}, "source": "toy_pkg/train.py"}]
    recipe = yaml.safe_load((folder / "options.yaml").read_text()) | {"known": known, "set_by": {"late": "the clock"}}
    (folder / "options.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    found = extract(folder)["properties"]
    assert found["steps"] == {
        "default": 20, "x-source": "toy_pkg/config.py", "type": "integer", "minimum": 1, "x-known": "toy_pkg/train.py",
    }  # fmt: skip
    assert found["late"]["x-set-by"] == "the clock"


def test_a_difference_is_told_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(folder)
    file, wheel = folder / "options" / "train.json", str(next(folder.glob("*.whl")))
    assert main([str(folder), "--wheel", wheel, "--check"]) == 0
    file.write_text("{}", encoding="utf-8")
    assert main([str(folder), "--wheel", wheel, "--check"]) == 2
    assert file.read_text(encoding="utf-8") == "{}" and "differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"package": "no-such-thing-at-all"}, "no-such-thing-at-all is not installed"),
        ({"parts": {"train": {"class": "Nothing"}}}, "there is no class Nothing"),
        ({"known": [{"option": "stepz", "says": {}, "source": "x"}]}, "'stepz', which is no option of train"),
        ({"set_by": {"stepz": "x"}}, "'stepz', which is no option of train"),
        ({"partz": {}}, "unknown key 'partz'"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_message(
    folder: Path, change: Mapping[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = yaml.safe_load((folder / "options.yaml").read_text()) | change
    (folder / "options.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert main([str(folder), "--wheel", str(next(folder.glob("*.whl")))]) == 1
    assert said in capsys.readouterr().err
