"""Looks at what runs, holds it against the rules, and keeps what was found."""
