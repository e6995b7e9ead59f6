"""Wire formats: pure functions between bytes and domain types."""
