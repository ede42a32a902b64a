"""The command `usage-mock`."""
