"""The fault matrix: a server that misbehaves on purpose, and what the plain SDK and this package make of it."""
