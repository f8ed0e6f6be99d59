"""Where else a corpus or its vectors come from than from a folder that has all of it."""
