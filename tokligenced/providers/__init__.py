"""Upstream accounts: address, credentials, dialect, quirks; no I/O."""
