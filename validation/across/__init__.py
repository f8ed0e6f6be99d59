"""Runs side by side: how gates went from run to run, and which carry over to another target.

Nothing here is a verdict: runs differ in more than what was measured, and only a run of its own
says what holds of a target today.
"""
