"""Certificates of apps: looked at, their ends told, late renewals asked for."""
