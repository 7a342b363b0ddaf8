"""Choosing: jobs and cells by a selector, and a study's cells by another study's results."""
