"""Job `fetch`: a hub model at a revision, copied into the store, so that no later job needs the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from runtime.errors import JobError
from runtime.job import Job, write_json

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def run(job: Job) -> Mapping[str, Any]:
    """Download the model's files. Raises JobError where the hub has no such model, or shows it to members only."""
    hub, revision = job.config["hub"], job.config["revision"]
    try:
        snapshot_download(hub, revision=revision, local_dir=job.out, allow_patterns=WANTED)
    except GatedRepoError as error:
        raise JobError(f"{hub} is gated: ask for access on its page, then set HF_TOKEN where jobs run") from error
    except RepositoryNotFoundError as error:
        raise JobError(f"the hub has no model {hub}, or hides it; check the name in the catalog") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise JobError(f"cannot fetch {hub}@{revision}: {error}; is there a network on this node?") from error
    if job.config.get("prompt", {}).get("template") == "plain":
        forget_chat_template(job.out)
    return {"hub": hub, "revision": revision, "files": sum(1 for file in job.out.rglob("*") if file.is_file())}


def forget_chat_template(model: Path) -> None:
    """Leave the tokenizer without a chat template, so that everything asks this model in the plain form."""
    (model / "chat_template.jinja").unlink(missing_ok=True)
    settings = model / "tokenizer_config.json"
    if settings.is_file():
        kept = json.loads(settings.read_text(encoding="utf-8"))
        kept.pop("chat_template", None)
        write_json(settings, kept)
