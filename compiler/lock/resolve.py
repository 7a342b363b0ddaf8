"""Resolving: the commit that a moving name means now, from the local Hugging Face cache or from the hub itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.lock.pins import Pin, is_commit

CACHED = {"models": "models", "datasets": "datasets"}  # the prefixes of the cache's folders: models--OWNER--NAME
REPOSITORY = {"models": "model", "datasets": "dataset"}  # what huggingface_hub calls them
YES = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads its switches
PATIENCE = 10.0  # seconds for one answer of the hub


@dataclass(frozen=True)
class Answer:
    """The commit of a pin, or None and the reason why it could not be told."""

    commit: str | None
    why: str = ""


Resolver = Callable[[Pin], Answer]


def resolve(pin: Pin, resolvers: Iterable[Resolver]) -> Answer:
    """What the first resolver says that knows; if none does, the reasons of all."""
    if pin.fixed:
        return Answer(pin.revision)
    reasons = []
    for ask in resolvers:
        answer = ask(pin)
        if answer.commit is not None:
            return answer
        reasons.append(answer.why)
    return Answer(None, "; ".join(reasons))


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps what it downloaded, by the same variables that it reads."""
    own = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    home = environment.get("HF_HOME") or str(Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(os.path.expandvars(own or str(Path(home) / "hub"))).expanduser()


def from_cache(folder: Path) -> Resolver:
    """A resolver that reads the cache's `refs`: each is a file, named as a branch or tag, that holds a commit."""

    def ask(pin: Pin) -> Answer:
        place = folder / f"{CACHED[pin.group]}--{pin.name.replace('/', '--')}" / "refs" / pin.revision
        try:
            commit = place.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return Answer(None, "not in this machine's Hugging Face cache")
        return Answer(commit) if is_commit(commit) else Answer(None, "this machine's Hugging Face cache holds no commit for it")

    return ask


def from_hub(environment: Mapping[str, str]) -> Resolver:
    """A resolver that asks the hub, through huggingface_hub where it is installed and may. It gives up after one failed try
    to reach it."""
    unreachable: list[str] = []

    def ask(pin: Pin) -> Answer:
        if environment.get("HF_HUB_OFFLINE", "").upper() in YES:
            return Answer(None, "the hub was not asked, since HF_HUB_OFFLINE is set")
        if unreachable:
            return Answer(None, unreachable[0])
        answer, reached = _asked(pin)
        if not reached:
            unreachable.append(answer.why)
        return answer

    return ask


def _asked(pin: Pin) -> tuple[Answer, bool]:
    """The hub's answer, and whether there was one. The import waits until here: the compiler does without this package."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
    except ImportError:
        return Answer(None, "the hub was not asked, since huggingface_hub is not installed here"), False
    import httpx  # what huggingface_hub is made of

    try:
        found = HfApi().repo_info(pin.name, revision=pin.revision, repo_type=REPOSITORY[pin.group], timeout=PATIENCE)
    except RevisionNotFoundError:
        return Answer(None, "the hub has no such revision"), True
    except HfHubHTTPError:
        return Answer(None, "the hub has no such name, or shows it to members only (set HF_TOKEN)"), True
    except (OSError, httpx.HTTPError):
        return Answer(None, "the hub cannot be reached from here"), False
    commit = found.sha or ""
    return (Answer(commit) if is_commit(commit) else Answer(None, "the hub names no commit")), True


def first_of(environment: Mapping[str, str], *, fresh: bool) -> Sequence[Resolver]:
    """Whom to ask, in order: this machine first, or where what moved is wanted, the hub."""
    local, far = from_cache(cache_folder(environment)), from_hub(environment)
    return (far, local) if fresh else (local, far)
