"""The way of a request through the mock: connection, dispatcher and response."""
