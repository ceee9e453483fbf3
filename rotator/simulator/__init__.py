"""A stateful Fly to rotate against, over HTTP: for tests, demonstrations and rehearsals."""
