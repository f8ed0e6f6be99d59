"""Milvus on Kubernetes.

``deployment.deploy`` is the way in; it declares, in this order:

- ``identity``: certificates and passwords, as Secrets
- ``network``: who may talk to whom
- ``etcd``, and ``log`` with ``kafka`` or ``woodpecker``: what Milvus stands on
- ``workloads``: one Deployment a role, with ``configuration``, ``credentials`` and ``hardware``; or
  ``operator`` and ``rollout`` in their place
- ``scaling``: disruption budgets and autoscalers
- ``services``, ``root_password``, ``snapshot``

``plans`` puts together what each of them is made of.

Pure, and usable without Pulumi: ``topology`` (what a version is made of), ``sizing`` and ``nodes``
(what a data set needs), ``capacity`` (both, for one stack), ``pods`` (what every pod has).
"""
