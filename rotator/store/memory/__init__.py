"""A database in memory that behaves like PostgreSQL: for tests, ours and those of plug-ins."""

from rotator.store.memory.store import MemoryStore, MemoryUnit

__all__ = ["MemoryStore", "MemoryUnit"]
