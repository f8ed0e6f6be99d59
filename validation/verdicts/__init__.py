"""What is judged, and how: rules, observations, verdicts; pure functions."""
