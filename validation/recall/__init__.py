"""Recall of a collection that is there already, against its own rows; nothing is changed.

`subject` says what the collection is, `plan` what is asked of it, `rows` reads it, `neighbours`
finds what is right, `asking` searches, `comparing` compares, `measure` does it all, `telling` shows
it.
"""
