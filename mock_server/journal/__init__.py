"""The journal of the exchanges with clients: criteria, verification, and the verdict on a client."""
