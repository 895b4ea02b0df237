"""Parity: the plain SDK's client and ours, asked the same thing of the same server, cannot be told apart."""
