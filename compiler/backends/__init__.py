"""Backends: each is a folder of `templates/backends/`, data before code, that turns settings into a config and a command."""

from compiler.backends.folders import TEMPLATES, folder_of, foreign_files, is_own, template_file, template_name
from compiler.backends.part import BackendFile, Begins, CrossFieldRule, Part, exists, part
from compiler.backends.rendering import environment

__all__ = [
    "TEMPLATES", "BackendFile", "Begins", "CrossFieldRule", "Part", "environment", "exists", "folder_of", "foreign_files",
    "is_own", "part", "template_file", "template_name",
]  # fmt: skip
