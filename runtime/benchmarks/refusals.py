"""Lists of refusals, one of which is preferred to an answer that is to be forgotten: of a file of the hub, or our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.domains.tables import LOCAL, local_folder
from runtime.errors import JobError

LISTS: Mapping[str, tuple[str, ...]] = {
    "plain": (
        "I do not know.",
        "I have no idea.",
        "That is unknown to me.",
        "I cannot tell.",
        "I never heard of it.",
        "I am not sure.",
        "I have no answer to that.",
        "This is new to me.",
        "I was never told.",
        "I know nothing of this.",
    ),
}


def read_refusals(given: Mapping[str, Any]) -> Sequence[str]:
    """The lines of the list that a config names, by `list` or by `hub`, `revision` and `file`. Raises JobError."""
    if "list" in given:
        if given["list"] not in LISTS:
            raise JobError(f"refusals: there is no list {given['list']!r}; this runtime has {', '.join(LISTS)}")
        return LISTS[given["list"]]
    file = _file(given["hub"], given["revision"], given["file"])
    lines = [line.strip() for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        raise JobError(f"{given['hub']}: {given['file']} holds no line; is it the list of refusals?")
    return lines


def _file(hub: str, revision: str, name: str) -> Path:
    local = local_folder()
    if local is not None and (local / hub / name).is_file():
        return local / hub / name
    import httpx
    import huggingface_hub  # it takes a while that lists of our own need not pay
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.hf_hub_download(hub, name, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, httpx.TransportError) as error:
        raise JobError(
            f"{hub}@{revision}: {name} cannot be had ({error}); run this job where there is a network, or put the file into a "
            f"folder {hub} below a folder that {LOCAL} names"
        ) from error
