"""One module a job kind, each with `run(job)`, which returns the facts to record in the done-marker."""
