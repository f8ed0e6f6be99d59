"""How fast a store is: its points, measured with a fast client, and the table of them."""
