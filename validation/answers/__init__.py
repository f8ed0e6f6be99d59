"""What a right answer is: every answer to a search is looked at whole, by pure functions.

`model` says what is compared, `checking` compares, `kinds` has the kinds of wrong there are,
`precision` says how far a score may be off.
"""
