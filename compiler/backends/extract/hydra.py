"""A package's options that are a tree of Hydra's: composed as the package does it, typed by the dataclasses that it names."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from compiler.backends.extract.annotations import kind_of, schema_of, told, with_default
from compiler.backends.extract.classes import Field, Sources
from compiler.backends.extract.wheels import Package

_SELECTED = re.compile(r"\$\{oc\.select:[^,}]*,([^{}]*)\}")
TARGET = "_target_"  # names the class that a mapping becomes


@dataclass(frozen=True)
class Origin:
    """A file of the tree, where in the tree it stands, and what it says there."""

    file: str
    place: tuple[str, ...]
    said: Any


@dataclass(frozen=True)
class Composed:
    """A composed tree with its interpolations as they are written, and the files that it is made from, the last one winning."""

    tree: Mapping[str, Any]
    origins: tuple[Origin, ...]

    def source(self, path: tuple[str, ...]) -> str:
        """The file that says the value at `path`."""
        return next((one.file for one in reversed(self.origins) if _says(one, path)), self.origins[-1].file)


def compose(package: Package, primary: str) -> Composed:
    """Compose the tree of a file such as `verl/trainer/config/ppo_trainer.yaml`."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    folder, _, name = primary.rpartition("/")
    with tempfile.TemporaryDirectory() as place:
        for file in package.matching([f"{folder}/*.yaml"]):
            copy = Path(place) / file[len(folder) + 1 :]
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(package.read(file), encoding="utf-8")
        GlobalHydra.instance().clear()
        with initialize_config_dir(place, version_base=None):
            tree = OmegaConf.to_container(hydra_compose(name.removesuffix(".yaml")), resolve=False)
            listed = GlobalHydra.instance().config_loader().compute_defaults_list(name.removesuffix(".yaml"), [], RunMode.RUN)
            origins = tuple(_origins([(one.config_path, one.package) for one in listed.defaults], Path(place), folder))
    assert isinstance(tree, dict)
    return Composed({str(key): value for key, value in tree.items()}, origins)


def _origins(listed: list[tuple[str | None, str | None]], place: Path, folder: str) -> Iterator[Origin]:
    for path, package in listed:
        file = (place / f"{path}.yaml").resolve()
        if path and file.is_file():
            said = yaml.safe_load(file.read_text(encoding="utf-8"))
            where = tuple(package.split(".")) if package else ()
            yield Origin(f"{folder}/{file.relative_to(place.resolve())}", where, said)


def _says(origin: Origin, path: tuple[str, ...]) -> bool:
    inside, size = origin.said, len(origin.place)
    if path[:size] != origin.place:
        return False
    for step in path[size:]:
        if not isinstance(inside, dict) or step not in inside:
            return False
        inside = inside[step]
    return True


def schema_of_tree(found: Composed, sources: Sources) -> dict[str, Any]:
    """The JSON Schema of a composed tree, in its order."""
    return _mapping(found, found.tree, (), None, sources)


def _mapping(
    found: Composed, tree: Mapping[str, Any], path: tuple[str, ...], named: str | None, sources: Sources
) -> dict[str, Any]:
    """A mapping of the tree, which becomes the dataclass that it names or that the field it stands in has."""
    fields = sources.fields(str(tree.get(TARGET, named or "")).rpartition(".")[2])
    properties = {key: _value(found, value, (*path, key), fields.get(key), sources) for key, value in tree.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(found: Composed, value: Any, path: tuple[str, ...], field: Field | None, sources: Sources) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return _mapping(found, {str(key): inner for key, inner in value.items()}, path, _class(field, sources), sources)
    source = {"x-source": found.source(path)}
    if path[-1] == TARGET:
        return {"const": value, "default": value, **source}
    if isinstance(value, str) and ("${" in value or value == "???"):  # what another option is, or must be given
        schema = schema_of(field.annotation, sources) if field else _untyped(_fallback(value))
        return {**told(schema), "default": value, **source}
    if field is not None and _class(field, sources) is None:
        return {**with_default({**schema_of(field.annotation, sources), **sources.bounds(field.default)}, value), **source}
    return {**_untyped(value), "default": value, **source}


def _fallback(value: str) -> Any:
    """What `${oc.select:NAME,VALUE}` is where there is no such option; null where it does not say."""
    found = _SELECTED.fullmatch(value)
    return yaml.safe_load(found[1]) if found else None


def _untyped(value: Any) -> dict[str, Any]:
    """What an option may be that no dataclass types: of its default's type, or null; anything where the default is null."""
    if value is None:
        return {}
    kind = kind_of(value)
    return {"type": kind} if kind in ("boolean", "object") else {"type": [kind, "null"]}


def _class(field: Field | None, sources: Sources) -> str | None:
    """The dataclass that a field's annotation names, as `X` or `Optional[X]`."""
    words = ast.unparse(field.annotation).replace("Optional[", "").rstrip("]").split("|") if field else []
    return next((word.strip() for word in words if word.strip() in sources.classes), None)
