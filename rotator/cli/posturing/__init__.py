"""What `rotator posture` does: it looks, judges, and tells in one of several forms."""
