"""Writes a report's three files."""

from __future__ import annotations

from pathlib import Path

from runtime.job import write_json, write_text
from runtime.report.document import document
from runtime.report.html import page
from runtime.report.summary import Report
from runtime.report.tables import text


def write(report: Report, folder: Path) -> None:
    """Write report.html, report.json and report.txt into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.html", page(report))
    write_json(folder / "report.json", document(report))
    write_text(folder / "report.txt", text(report))
