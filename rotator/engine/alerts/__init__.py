"""Leaks that hooks were told of: accepted, approved if need be, carried to the end."""
