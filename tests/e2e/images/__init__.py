"""Container images assembled here, without a registry and without a container engine.

``archive.py`` writes layers and image archives, ``bases.py`` makes what programs stand on,
``recipes.py`` says what each image holds. The names are those the stacks and kubeadm ask for, so
nothing downstream knows the difference; a label of each image says which version is really in it.
"""
