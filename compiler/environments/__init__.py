"""Environments: what their locks pin, which packages do not live together, what jobs need, and how they are built."""
