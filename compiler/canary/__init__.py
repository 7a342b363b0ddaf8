"""The canary: a few cells of a study, with two steps each, that go through everything the whole study goes through."""
