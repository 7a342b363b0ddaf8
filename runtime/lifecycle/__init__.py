"""A job, from its contract to its done-marker: what is checked before and after, what is handed on, when it goes in again."""
