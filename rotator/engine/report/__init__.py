"""Evidence of a period: what the audit log and the inventory tell of it."""
