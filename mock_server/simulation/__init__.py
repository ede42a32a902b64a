"""The simulated accounts of a deployment, and everything that changes them. It handles no HTTP message."""
