"""Exchanges that other programs recorded, read from HAR files, HTTP clients and the journal of the mock."""
