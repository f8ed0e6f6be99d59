"""The drill: Milvus writes and searches while its store fails in scripted ways, one after another.

`faults` are what goes wrong, `traffic` writes and searches meanwhile and remembers what was
acknowledged and answered, `bench` holds the servers and collections, `runner` goes through it and
keeps what it saw in the format of any run. ``docs/drill.md`` says what is asserted.
"""
