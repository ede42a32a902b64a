"""The simulated accounts of a deployment, and everything that changes them. Knows no HTTP."""
