"""The usage metrics of a response: their schema, their members, and the key that they belong to."""
