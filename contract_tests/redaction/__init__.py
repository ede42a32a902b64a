"""Redaction of keys in everything that the gate writes."""
