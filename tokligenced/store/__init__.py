"""All SQL, behind a few functions that take and give domain types."""
