"""The plan: its jobs and edges, and what decides a job's result."""
