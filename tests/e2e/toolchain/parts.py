"""Which tools, in which version, from which Go module: the one place to change a pin."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class GoPart:
    """Commands built from one Go module.

    Args:
        name: Of the part; with the version it names the folder in the cache.
        version: As people write it.
        module: Path of the Go module.
        module_version: Version of the module on the proxy.
        commands: File name of each command, and its package within the module.
        variables: Values set at link time, so that the command knows its version.
        staging_version: Version of the modules that this module's own ``go.mod`` replaces by
            folders of its repository; None where it replaces none.
        program: A folder with a program of this repository, whose own ``go.mod`` says what it is
            made of; it is what the one command is built from.
    """

    name: str
    version: str
    module: str
    module_version: str
    commands: Mapping[str, str]
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    staging_version: str | None = None
    program: Path | None = None

    @property
    def folder(self) -> str:
        """Name of its folder in the cache."""
        return f"{self.name}-{self.version}"


KUBERNETES_VERSION = "1.36.3"
PULUMI_VERSION = "3.259.0"
ETCD_VERSION = "3.6.16"
"""Of the control plane. The stacks' etcd is of the version that stacks/images.yaml ships."""
STACKS_ETCD_VERSION = "3.5.35"
COREDNS_VERSION = "1.14.7"
LOCAL_PATH_VERSION = "0.0.30"
MINIO_VERSION = "2025-09-07"
PROMETHEUS_VERSION = "3.16.0"
KUBE_ROUTER_VERSION = "2.1.0"

_KUBERNETES = "k8s.io/kubernetes/cmd/"
_COMPONENT = "k8s.io/component-base/version."
_CLIENT = "k8s.io/client-go/pkg/version."

PULUMI = GoPart(
    "pulumi",
    PULUMI_VERSION,
    "github.com/pulumi/pulumi/pkg/v3",
    f"v{PULUMI_VERSION}",
    {"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    # Without its version the engine refuses preview, refresh and destroy to automation.
    {"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": f"v{PULUMI_VERSION}"},
)
KUBERNETES = GoPart(
    "kubernetes",
    KUBERNETES_VERSION,
    "k8s.io/kubernetes",
    f"v{KUBERNETES_VERSION}",
    {
        name: _KUBERNETES + name
        for name in (
            "kubeadm",
            "kubectl",
            "kubelet",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
        )
    },
    {
        f"{package}{variable}": value
        for package in (_COMPONENT, _CLIENT)
        for variable, value in {
            "gitVersion": f"v{KUBERNETES_VERSION}",
            "gitMajor": KUBERNETES_VERSION.split(".", maxsplit=1)[0],
            "gitMinor": KUBERNETES_VERSION.split(".")[1],
        }.items()
    },
    staging_version="v0." + KUBERNETES_VERSION.split(".", 1)[1],
)
ETCD = GoPart(
    "etcd",
    ETCD_VERSION,
    "go.etcd.io/etcd/server/v3",
    f"v{ETCD_VERSION}",
    {"etcd": "go.etcd.io/etcd/server/v3"},
)
STACKS_ETCD = GoPart(
    "etcd-of-stacks",
    STACKS_ETCD_VERSION,
    "go.etcd.io/etcd/server/v3",
    f"v{STACKS_ETCD_VERSION}",
    {"etcd": "go.etcd.io/etcd/server/v3"},
)
ETCDCTL = GoPart(
    "etcdctl",
    STACKS_ETCD_VERSION,
    "go.etcd.io/etcd/etcdctl/v3",
    f"v{STACKS_ETCD_VERSION}",
    {"etcdctl": "go.etcd.io/etcd/etcdctl/v3"},
)
ETCDUTL = GoPart(
    "etcdutl",
    STACKS_ETCD_VERSION,
    "go.etcd.io/etcd/etcdutl/v3",
    f"v{STACKS_ETCD_VERSION}",
    {"etcdutl": "go.etcd.io/etcd/etcdutl/v3"},
)
COREDNS = GoPart(
    "coredns",
    COREDNS_VERSION,
    "github.com/coredns/coredns",
    f"v{COREDNS_VERSION}",
    {"coredns": "github.com/coredns/coredns"},
)
LOCAL_PATH = GoPart(
    "local-path-provisioner",
    LOCAL_PATH_VERSION,
    "github.com/rancher/local-path-provisioner",
    f"v{LOCAL_PATH_VERSION}",
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    {"main.VERSION": f"v{LOCAL_PATH_VERSION}"},
)
MINIO = GoPart(
    "minio",
    MINIO_VERSION,
    "github.com/minio/minio",
    "v0.0.0-20250907161309-07c3a429bfed",
    {"minio": "github.com/minio/minio"},
)
PROMETHEUS = GoPart(
    "prometheus",
    PROMETHEUS_VERSION,
    "github.com/prometheus/prometheus",
    "v0." + PROMETHEUS_VERSION.replace(".", "", 1),  # its modules have no major version
    {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
)
"""No end-to-end test needs it, so they do not build it: tests/local does, before a release."""
KUBE_ROUTER = GoPart(
    "kube-router",
    KUBE_ROUTER_VERSION,
    "github.com/cloudnativelabs/kube-router/v2",
    f"v{KUBE_ROUTER_VERSION}",
    {"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"},
)
"""What enforces NetworkPolicies; built only where test_policies.py is asked for."""

GO_PARTS = (
    PULUMI,
    KUBERNETES,
    ETCD,
    STACKS_ETCD,
    ETCDCTL,
    ETCDUTL,
    COREDNS,
    LOCAL_PATH,
    MINIO,
)

SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
SDK_SCRIPTS = {
    "pulumi-resource-pulumi-python": "python/dist/pulumi-resource-pulumi-python",
    "pulumi-language-python-exec": "python/cmd/pulumi-language-python-exec",
}
"""Scripts of the Pulumi SDK module: the dynamic provider, and what runs a Python program."""

DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "ethtool": "ethtool",
    "socat": "socat",
    "nftables": "nft",
    "ipset": "ipset",
    "iproute2": "ip",
    "kmod": "modprobe",
    "mount": "mount",
    "procps": "ps",
    "mmdebstrap": "mmdebstrap",
    "busybox-static": "/bin/busybox",
    "zstd": "zstd",
    "openssh-client": "ssh",
    # What images are assembled with: a static program of a few lines, Kafka's jars, a JRE for them.
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdlib.h",
    "maven": "mvn",
    "default-jdk-headless": "jlink",
}
"""Debian packages of the host, each with a command or file that shows that it is there."""
