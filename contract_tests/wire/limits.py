"""How much of a response is received and kept."""

LARGEST_HEAD = 256 * 1024  # bytes
LARGEST_BODY = 1024 * 1024  # bytes
KEPT = 64 * 1024  # bytes of a body that is too large: the journal holds hundreds of exchanges
