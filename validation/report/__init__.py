"""Results and their renderings: results.json is the source, every rendering is made from it."""
