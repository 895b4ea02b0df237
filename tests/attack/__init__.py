"""Attacks: a hostile server, page or user of this machine against the commands and the relay."""
