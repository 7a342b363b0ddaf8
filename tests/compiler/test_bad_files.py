"""A file that is no spec ends in one message, exit code 1, and nothing written: however broken, huge or hostile it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.project import BIN, Project

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
ALIAS_CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000))

NO_SPECS: dict[str, tuple[bytes | str, str]] = {
    "empty": ("", "bad.yaml: error: the file is empty"),
    "only comments": ("# nothing\n", "bad.yaml: error: the file is empty"),
    "binary": (bytes(range(256)) * 40, "bad.yaml: error: the file is not UTF-8 text"),
    "invalid UTF-8": (b"study: t\xff\n", "bad.yaml: error: the file is not UTF-8 text"),
    "a NUL": ("study: toy\nabout: a\0b\n", "bad.yaml: error: line 2 holds a control character"),
    "an escape sequence": ("study: \x1b[31mtoy\n", "bad.yaml: error: line 1 holds a control character"),
    "a DEL": ("study: \x7f\n", "bad.yaml: error: line 1 holds a control character"),
    "alias bomb": (ALIAS_BOMB, "error: more than 200,000 values (aliases counted as often as they are used)"),
    "alias of itself": ("a: &x [*x]\n", "bad.yaml:1:4: error: an alias contains itself"),
    "alias of nothing": ("a: *x\n", "bad.yaml:1:4: error: not valid YAML: found undefined alias"),
    "chain of aliases": (ALIAS_CHAIN, "error: nested more than 50 deep"),
    "open brackets": ("a: " + "[" * 100_000, "bad.yaml:1:53: error: nested more than 50 deep"),
    "brackets": ("a: " + "[" * 100_000 + "]" * 100_000, "bad.yaml:1:53: error: nested more than 50 deep"),
    "braces": ("a: " + "{a: " * 100_000 + "}" * 100_000, "error: nested more than 50 deep"),
    "dashes": ("- " * 100_000 + "x", "error: nested more than 50 deep"),
    "deep indentation": ("".join(" " * n + "a:\n" for n in range(2000)), "error: nested more than 50 deep"),
    "duplicate key": ("study: a\nabout: b\nstudy: c\n", "bad.yaml:3:1: error: the key 'study' is here twice"),
    "bad syntax": ("study: [a\nabout: b\n", "bad.yaml:2:6: error: not valid YAML: "),
    "tabs": ("axes:\n\tmethod: [a]\n", "bad.yaml:2:1: error: not valid YAML: found character that cannot start any token"),
    "list at the top": ("- study: toy\n", "bad.yaml:1:1: error: expected a mapping at the top, got a list"),
    "word at the top": ("toy\n", "bad.yaml:1:1: error: expected a mapping at the top, got a single value"),
    "two documents": ("study: a\n---\nstudy: b\n", "bad.yaml:2:1: error: not valid YAML: but found another document"),
    "a list as key": ("study: a\n[b]: c\n", "bad.yaml:2:1: error: a key must be a plain word"),
    "a tag": ("study: !!python/object:os.system x\n", "bad.yaml:1:8: error: the tag tag:yaml.org,2002:python/object:os.system"),
    "a tag on a mapping": ("study: toy\naxes: !x {}\n", "bad.yaml:2:7: error: the tag !x has no meaning here"),
    "an endless integer": ("study: " + "9" * 5000 + "\n", "bad.yaml:1:8: error: this integer is too long to be meant"),
}


@pytest.mark.parametrize("name", NO_SPECS)
def test_what_is_no_spec_ends_in_one_message_and_changes_nothing(name: str, scratch: Project) -> None:
    content, message = NO_SPECS[name]
    (scratch.root / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = scratch.snapshot()
    for verb in ("compile", "status"):
        result = scratch.lethe(verb, "bad.yaml")
        assert (result.code, result.out, len(result.errors)) == (1, "", 1), result.err
        assert message in result.errors[0]
        assert len(result.err) < 1000, "a message that fits on a screen"
    assert scratch.snapshot() == before


def as_missing(path: Path) -> None:
    del path


def as_folder(path: Path) -> None:
    path.mkdir()


def as_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


def as_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (as_missing, "bad.yaml: error: cannot read the file: No such file or directory"),
        (as_folder, "bad.yaml: error: cannot read the file: Is a directory"),
        (as_huge, "bad.yaml: error: the file is too large: a spec has at most 4,000,000 bytes"),
        (as_endless, "bad.yaml: error: the file is too large"),
        (as_loop, "bad.yaml: error: cannot read the file: Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_read_is_said_without_reading_all_of_it(
    make: Callable[[Path], None], message: str, scratch: Project
) -> None:
    make(scratch.root / "bad.yaml")
    before = scratch.snapshot()
    result = scratch.lethe("compile", "bad.yaml")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(message) and len(result.errors) == 1
    assert scratch.snapshot() == before


def test_an_unreadable_spec_is_said_to_be(scratch: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "toy.yaml":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.err) == (1, "specs/toy.yaml: error: cannot read the file: Permission denied\n")


def test_deep_nesting_does_not_crash_the_interpreter(project: Project) -> None:
    """In a process of its own, where a stack overflow would show as a signal."""
    (project.root / "deep.yaml").write_text("a: " + "[" * 1_000_000 + "]" * 1_000_000)
    result = project.shell(str(BIN / "compile"), "deep.yaml")
    assert (result.code, len(result.errors)) == (1, 1), result.err[-500:]
    assert "Traceback" not in result.err


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(project: Project) -> None:
    text = project.spec.read_text()
    project.spec.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert project.lethe("validate", "specs/toy.yaml").code == 0


def test_places_after_a_byte_order_mark_are_right(project: Project) -> None:
    project.spec.write_text("\ufeffstudi: toy\n" + project.spec.read_text().replace("study: toy\n", ""), encoding="utf-8")
    assert project.lethe("validate", "specs/toy.yaml").err.splitlines() == [
        "specs/toy.yaml:1:1: error: unknown key 'studi'",
        "  1 | studi: toy",
        "    | ^",
        "  hint: did you mean 'study'?",
    ]


def break_catalog_missing(catalog: Path) -> None:
    for file in catalog.iterdir():
        file.unlink()
    catalog.rmdir()


def break_catalog_empty(catalog: Path) -> None:
    for file in catalog.iterdir():
        file.unlink()


def break_catalog_file(catalog: Path) -> None:
    break_catalog_missing(catalog)
    catalog.write_text("methods: {}\n")


@pytest.mark.parametrize("damage", [break_catalog_missing, break_catalog_empty, break_catalog_file])
def test_a_catalog_without_files_is_said_to_be(damage: Callable[[Path], None], scratch: Project) -> None:
    damage(scratch.root / "specs" / "catalog")
    before = scratch.snapshot()
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.err.splitlines()) == (
        1,
        ["specs/catalog: error: the catalog's folder holds no YAML file", "  hint: see 'catalog' in the spec"],
    )
    assert scratch.snapshot() == before


@pytest.mark.parametrize("content", ["", "methods: {gt_sft: [\n", b"\xff\xfe\x00"])
def test_a_catalog_file_that_is_none_is_named(content: str | bytes, project: Project) -> None:
    (project.root / "specs" / "catalog" / "more.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = project.lethe("compile", "specs/toy.yaml")
    assert (result.code, len(result.errors)) == (1, 1)
    assert result.err.startswith("specs/catalog/more.yaml")
    assert not project.generated.exists()


def test_the_caret_stands_under_the_mistake_behind_tabs_and_wide_lines(project: Project) -> None:
    (project.root / "wide.yaml").write_text("study:\t{a: 1}\nabout: {k: [1], é: 1, " + "x" * 300 + ": !t 1}\n")
    lines = project.lethe("validate", "wide.yaml").err.splitlines()
    place = int(lines[0].split(":")[2])
    assert lines[1][lines[2].index("^")] == "!" and len(lines[1]) < 140
    assert (project.root / "wide.yaml").read_text().splitlines()[1][place - 1] == "!"
    (project.root / "tabs.yaml").write_text("study: toy\nabout:\t\t!t 1\n")
    lines = project.lethe("validate", "tabs.yaml").err.splitlines()
    assert lines[1][lines[2].index("^")] == "!" and "\t" not in lines[1]


def test_a_message_survives_a_terminal_without_unicode(project: Project) -> None:
    project.edit("toy.yaml", "about: Four methods on two toy domains", "about: Four\n¿abut: ¡wrong!")
    for verb in ("--help", "validate"):
        arguments = [verb] if verb == "--help" else [verb, "specs/toy.yaml", "--json"]
        result = project.shell(str(BIN / "lethe"), *arguments, environment={"PYTHONIOENCODING": "ascii"})
        assert "Traceback" not in result.err
        assert result.code == (0 if verb == "--help" else 1)


def test_a_reader_that_goes_away_is_no_error(compiled: Project) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [str(BIN / "lethe"), "diff", "specs/toy.yaml", "--json"],
            cwd=compiled.root, stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
