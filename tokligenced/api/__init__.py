"""HTTP for machines: parse, call the gateway, write bytes."""
