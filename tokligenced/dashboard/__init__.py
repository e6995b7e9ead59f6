"""HTTP for people: pages rendered on the server, which work without scripts and run no SQL."""
