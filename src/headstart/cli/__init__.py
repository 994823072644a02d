"""The commands: thin; they parse, call `headstart.api` and print."""
