"""The audit log as evidence: verification, proofs, archives, checkpoints sent out."""
