"""Whether a plan's jobs fit the cluster, told before a GPU is used: memory, the site's limits, and what is likely a mistake."""
