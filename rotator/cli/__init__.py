"""Commands: parse, call the engine, print."""
