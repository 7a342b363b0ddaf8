"""Choosing: jobs and cells by a selector, and a study's cells by the rank of another one's results."""
