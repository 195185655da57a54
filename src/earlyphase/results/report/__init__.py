"""Tables, figures, claims and run records to one HTML page."""
