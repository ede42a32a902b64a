"""Requests and exchanges: what goes over the wire, and the one way to the deployment."""
