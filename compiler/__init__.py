"""Compiles a study, one YAML, into the scripts, configs and plan that run it. Imports no torch."""
