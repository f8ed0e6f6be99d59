"""What was done to a collection and what was seen of it, and whether that was allowed.

`record` keeps a history of operations as columns; `checker` says which keys broke which promise.
Both are pure: whoever writes and reads hands in the times.
"""
