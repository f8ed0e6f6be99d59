"""Milvus on Kubernetes.

``deployment.deploy`` is the way in; it declares, in this order:

- ``access``: certificates and passwords as Secrets, and who may talk to whom
- ``dependencies``: etcd and the log, which Milvus stands on, and snapshots of etcd
- ``roles``: one Deployment a role, with its configuration; or ``operator`` and ``rollout`` instead
- ``roles.scaling``: disruption budgets and autoscalers
- ``access.services``, ``access.root_password``

``plans`` puts together what each of them is made of.

Pure, and usable without Pulumi: ``roles.topology`` (what a version is made of), and ``capacity``
(what a data set needs, and how many pods of each role that makes).
"""
