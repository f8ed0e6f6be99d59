"""The drill: Milvus writes and searches while its store fails in scripted ways, one after another.

`faults` are what goes wrong and `acts` how that begins and ends; `access`, `certificates` and
`keys` are what is needed to do it to certificates and keys. `traffic` writes and searches meanwhile
and remembers what was acknowledged and answered, `bench` holds the servers and collections,
`meeting` is one fault from beginning to end, `runner` goes through them and keeps what it saw in
the format of any run. ``docs/drill.md`` says what is asserted.
"""
