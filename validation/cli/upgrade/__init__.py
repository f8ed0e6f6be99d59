"""What is run before and after an upgrade."""
