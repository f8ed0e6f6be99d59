"""One host as a Kubernetes node: looked at, prepared, made a node, and given back as it was.

``connection.py`` runs commands there, directly or over SSH; ``inspection.py`` says what the host is
and ``fitness.py`` why it will not do, before anything is changed; ``files.py`` renders every file;
``services.py`` keeps containerd and the kubelet running; ``bootstrap.py`` makes a node;
``membership.py`` is its place in the cluster; ``teardown.py`` undoes it all, ``firewall.py`` its
part of the firewall.
"""
