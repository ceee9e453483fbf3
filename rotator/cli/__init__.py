"""The commands: they parse, call the engine and print. Anything heavy is imported in a command."""
