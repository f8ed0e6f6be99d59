"""What every server that the kit declares is made of: pods, volumes, ways in."""
