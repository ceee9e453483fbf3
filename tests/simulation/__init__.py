"""Seeded worlds in virtual time: the real engine, store and client against the simulator."""
