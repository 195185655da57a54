"""Tables to numbers, claims and figures."""
