"""How much of a slow search, and of a cold load, the object store explains.

`measure` watches Milvus and the store side by side, `answer` makes bounds of what was seen and one
line of the bounds. The method and its limits are in ``docs/attribution.md``.
"""
