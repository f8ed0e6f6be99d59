"""Commands about runs that are there: nothing is measured, and no server is asked."""
