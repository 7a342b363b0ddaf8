"""The plan: its jobs and edges, what decides a job's result, and how two plans differ."""
