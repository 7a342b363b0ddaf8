"""The language of a study: YAML with positions, the models of spec and catalog, and what is wrong with either."""
