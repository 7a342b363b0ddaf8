"""WMDP's corpora (arXiv 2403.03218): one encrypted archive with a file of texts for each set.

It is downloaded, or read from `$LETHE_DATASETS`, as `wmdp-corpora.zip`; files that lie unpacked in a folder `wmdp-corpora`
there come first. The password stands on the benchmark's page and in no file of ours: `$WMDP_PASSWORD`. One file is in no
archive: the biology to forget, which its authors give out on request.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from runtime.benchmarks.sets import Sets, text_row
from runtime.domains.tables import LOCAL, local_folder
from runtime.errors import JobError

PASSWORD = "WMDP_PASSWORD"
PATIENCE = 60.0  # seconds without an answer


def make_sets(config: Mapping[str, Any]) -> Sets:
    """The lines of the two files as texts; questions on them are lm-eval's."""
    archive, parsed = config["archive"], config["lines"] == "parsed"
    wanted = [config["split"]] + ([] if config["retain"] is None else [config["retain"]])
    read = _read_files(archive, [f"{name}.jsonl" for name in wanted])
    texts = [[text_row(text) for text in _texts(read[f"{name}.jsonl"], name, parsed)] for name in wanted]
    return Sets(texts[0], texts[1] if len(texts) > 1 else None, {})


def _read_files(archive: str, wanted: list[str]) -> dict[str, str]:
    """The files' texts by their names: each as it lies unpacked on this machine, or else out of the archive, here or there."""
    name, local = archive.rsplit("/", 1)[-1], local_folder()
    folder = None if local is None else local / name.removesuffix(".zip")
    here = {file: folder / file for file in wanted if folder is not None and (folder / file).is_file()}
    read = {file: path.read_text(encoding="utf-8") for file, path in here.items()}
    packed = [file for file in wanted if file not in here]
    if not packed:
        return read
    if local is not None and (local / name).is_file():
        with (local / name).open("rb") as opened:
            return read | _from_archive(opened, str(local / name), packed)
    with tempfile.TemporaryFile() as downloaded:
        _download(archive, downloaded)
        return read | _from_archive(downloaded, archive, packed)


def _download(archive: str, into: IO[bytes]) -> None:
    try:
        with urllib.request.urlopen(archive, timeout=PATIENCE) as answer:  # https only: the schema says so
            shutil.copyfileobj(answer, into)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise JobError(
            f"{archive} cannot be had ({error}); run this job where there is a network, or put the archive into a folder that "
            f"{LOCAL} names"
        ) from error


def _from_archive(file: IO[bytes], where: str, wanted: list[str]) -> dict[str, str]:
    password = os.environ.get(PASSWORD)
    try:
        with zipfile.ZipFile(file) as opened:
            members = {Path(name).name: name for name in opened.namelist()}
            missing = [name for name in wanted if name not in members]
            if missing:
                raise JobError(
                    f"{where}: holds no {', '.join(missing)}; it has {', '.join(sorted(members))}. The biology to forget is "
                    f"given out on request only, and read from a folder {Path(where).stem} below a folder that {LOCAL} names"
                )
            given = None if password is None else password.encode("utf-8")
            return {name: opened.read(members[name], pwd=given).decode("utf-8") for name in wanted}
    except (zipfile.BadZipFile, zlib.error) as error:  # also for one wrong password of 256
        raise JobError(f"{where}: is no whole zip archive ({error}); get it again, or look at {PASSWORD}") from error
    except NotImplementedError as error:  # an encryption or a compression that Python's zipfile does not know
        raise JobError(f"{where}: {error}; unpack it by hand into a folder beside it, without the .zip") from error
    except RuntimeError as error:  # zipfile's for a password that is missing or wrong
        raise JobError(f"{where}: {error}; set {PASSWORD} to the one on the benchmark's page") from error


def _texts(content: str, name: str, parsed: bool) -> list[str]:
    """Each line that is not empty: as it stands, JSON included (as published), or its field `text`."""
    lines = [(number, line) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
    return [_parsed(line, f"{name}.jsonl:{number}") if parsed else line for number, line in lines]


def _parsed(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise JobError(f"{where}: not JSON ({error.msg}); with `lines: raw` lines are taken as they stand") from error
    if not isinstance(value, dict) or not isinstance(value.get("text"), str) or not value["text"].strip():
        raise JobError(f"{where}: has no field text; with `lines: raw` lines are taken as they stand")
    return str(value["text"]).encode("utf-8", errors="replace").decode("utf-8")  # half a surrogate pair is no character
