"""Tables, figures and claims to one HTML page, and two studies to a page that compares them."""
