"""Rollouts: the steps roll-out and roll-back, machine by machine (DESIGN.md section 4)."""
