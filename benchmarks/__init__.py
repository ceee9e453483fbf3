"""Measurements; nothing here asserts."""
