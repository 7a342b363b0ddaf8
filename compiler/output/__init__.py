"""From a plan to files: their texts, and putting them on disk, all or none."""
