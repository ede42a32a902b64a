"""Optional: a state in Redis or Valkey that several mock processes share."""
