"""Keys removed from everything that the gate writes."""
