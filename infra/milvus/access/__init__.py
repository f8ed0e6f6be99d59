"""Who may talk to whom, and who proves what to whom."""
