"""The mock inside a test process, and its pytest plugin."""
