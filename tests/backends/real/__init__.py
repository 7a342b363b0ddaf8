"""The real packages, asked what they say of a config."""
