"""Spans of time for people."""

from __future__ import annotations


def days(seconds: float) -> str:
    """`5.7 days`, or `3.1 years` where it is long."""
    found = seconds / 86_400
    return f"{found:.1f} days" if found < 1000 else f"{found / 365.25:.1f} years"
