"""Rows that change: deleted, upserted, inserted again, in partitions that come and go.

`plan` says what is done and what must be there then, `acts` does it, `seen` looks at what the
server makes of it in every way there is to ask: counts, pages, keys, iterator, search.
"""
