"""Reads Fly app configuration and Dockerfiles, and holds them against the rules on files."""

from rotator.config_files.inspect import inspect_paths

__all__ = ["inspect_paths"]
