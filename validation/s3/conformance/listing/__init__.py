"""What a store shows of its objects: listings, pages, names, and when."""
