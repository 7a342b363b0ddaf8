"""The lock: what every moving name of a study (a branch of a hub model, an environment's files) stands for."""
