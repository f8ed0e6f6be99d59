"""The drill: Milvus writes and searches while its store fails in scripted ways, one after another.

`faults` are what goes wrong; `acts` and `damage` are how that begins and ends; `access`,
`certificates` and `keys` are what is needed to do it to certificates and keys, and `watching` tells
what of Milvus's traffic came by. `bench` holds the servers and each `collection`.

`trial` is one fault from beginning to end: `traffic` (done by `workers`) writes and searches, and
`answers` says what is wrong with an answer; `exercise` makes Milvus write to the store and read
from it, out of `memory`; `recovery` waits until all works again, `proof` compares what is stored
with what was promised, and `findings` puts it together. `runner` goes through the faults and keeps
what it saw in the format of any run. ``docs/drill.md`` says what is asserted.
"""
