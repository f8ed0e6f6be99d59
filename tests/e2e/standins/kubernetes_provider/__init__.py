"""Stand-in for ``pulumi-resource-kubernetes``: objects by server-side apply, awaited, diffed.

``wire.py`` turns the engine's messages into plain data and remembers where the secrets were;
``objects.py`` knows names, immutable fields and differences; ``cluster.py`` talks to the API
server; ``waiting.py`` says when an object is ready; ``provider.py`` answers the engine.

Out of its reach, and refused by name: ConfigGroup, ConfigFile, ``*Patch``, Helm and Kustomize.
"""
