"""Tests, one folder a part; what they share stands here."""
