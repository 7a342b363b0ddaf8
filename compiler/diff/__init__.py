"""Two plans compared: what differs, why, what that costs, and how it is told."""
