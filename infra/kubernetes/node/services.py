"""Keeps containerd and the kubelet of a node running: by systemd, or by a small loop without it.

Both ways run the same two commands with the same files; only who starts them again differs.

A package of the kubelet may bring a unit of its own, ``kubelet.service``, which kubeadm starts when
it has written the kubelet's configuration. Two kubelets would fight for one port and the same pods,
so that unit is masked for as long as the host is a node.
"""

from __future__ import annotations

from infra.kubernetes.node.connection import Connection
from infra.kubernetes.node.plan import FOLDER, SOCKET, STATE

CONTAINERD = "milvus-kit-containerd"
KUBELET = "milvus-kit-kubelet"
PACKAGED = "kubelet.service"
"""The unit of a package's, by the name that kubeadm knows."""
LOGS = f"{FOLDER}/logs"
_TAIL_LINES = 12

_COMMANDS = {
    CONTAINERD: f"exec containerd --config {FOLDER}/containerd.toml",
    # kubeadm writes these files, and only then is there something for a kubelet to do.
    KUBELET: """while [ ! -s /var/lib/kubelet/config.yaml ] || \\
    { [ ! -s /etc/kubernetes/kubelet.conf ] && [ ! -s /etc/kubernetes/bootstrap-kubelet.conf ]; }
do sleep 0.2; done
[ ! -s /var/lib/kubelet/kubeadm-flags.env ] || . /var/lib/kubelet/kubeadm-flags.env
exec kubelet --kubeconfig=/etc/kubernetes/kubelet.conf \\
    --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \\
    --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS""",
}

_LOOP = """#!/bin/sh
# Runs one command again whenever it ends; on SIGTERM ends the command first, then itself.
stop=
child=
trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
while [ -z "$stop" ]; do
    "$@" &
    child=$!
    wait "$child"
    [ -z "$stop" ] || wait "$child"
    [ -n "$stop" ] || sleep 1
done
"""

_UNIT = """[Unit]
Description={name} of milvus-kit
After=network-online.target
Wants=network-online.target

[Service]
Environment=PATH={path}
ExecStart=/bin/sh {script}
Restart=always
RestartSec=2
Delegate=yes
KillMode=process
OOMScoreAdjust=-999
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def start(connection: Connection, name: str, *, systemd: bool) -> None:
    """Start a service, now and whenever it ends; nothing happens if it runs.

    Args:
        connection: To the host.
        name: `CONTAINERD` or `KUBELET`.
        systemd: Whether systemd runs there.
    """
    script = f"{FOLDER}/bin/{name}"
    path = connection.run('printf %s "$PATH"', what="reading PATH").strip()
    connection.write(script, f"#!/bin/sh\nexport PATH='{path}'\n{_COMMANDS[name]}\n", mode="0755")
    if systemd:
        unit = _UNIT.format(name=name, script=script, path=path)
        connection.write(f"/etc/systemd/system/{name}.service", unit, mode="0644")
        connection.run(
            f"systemctl daemon-reload\nsystemctl enable --now {name}", what=f"starting {name}"
        )
        return
    connection.write(f"{FOLDER}/bin/keep-running", _LOOP, mode="0755")
    # The start time goes with the process id, since ids are used again.
    connection.run(
        f"""mkdir -p {LOGS} {STATE}
{_alive(name)} && exit 0
setsid {FOLDER}/bin/keep-running /bin/sh {script} </dev/null >>{LOGS}/{name}.log 2>&1 &
pid=$!
echo "$pid $(awk '{{print $22}}' /proc/$pid/stat)" > {FOLDER}/{name}.pid
""",
        what=f"starting {name}",
    )


def stop(connection: Connection, name: str, *, systemd: bool) -> None:
    """Stop a service for good, and wait until its process is gone."""
    if systemd:
        connection.run(
            f"""set +e
systemctl disable --now {name} 2>/dev/null
rm -f /etc/systemd/system/{name}.service
systemctl daemon-reload
exit 0""",
            what=f"stopping {name}",
        )
        return
    connection.run(
        f"""{_alive(name)} || exit 0
kill -TERM "$pid"
tries=0
while {_alive(name)}; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ]; then
        echo "process $pid does not end" >&2
        exit 1
    fi
    sleep 0.1
done
rm -f {FOLDER}/{name}.pid""",
        what=f"stopping {name}",
    )


def mask_packaged(connection: Connection) -> None:
    """Stop a package's kubelet, and let nobody start it; kubeadm's attempt is a warning of its."""
    connection.run(
        f"systemctl mask --now {PACKAGED}", what=f"keeping {PACKAGED} from starting beside ours"
    )


def unmask_packaged(connection: Connection) -> None:
    """Let a package's kubelet be started again."""
    connection.run(f"systemctl unmask {PACKAGED}", what=f"giving {PACKAGED} back")


def start_packaged(connection: Connection) -> None:
    """Start a package's kubelet as before; without a configuration it fails and tries again."""
    connection.attempt(f"systemctl start --no-block {PACKAGED}", seconds=60)


def await_containerd(connection: Connection) -> None:
    """Wait until containerd answers on its socket."""
    connection.run(
        f"""tries=0
until ctr --address {SOCKET} version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ]; then
        echo "containerd does not answer; the end of its log:" >&2
        tail -n 8 {LOGS}/{CONTAINERD}.log >&2 || true
        exit 1
    fi
    sleep 0.2
done""",
        what="starting containerd",
        seconds=90,
    )


def log_tail(connection: Connection, name: str, *, systemd: bool) -> str:
    """Return the end of a service's log."""
    how = (
        f"journalctl -u {name} -n {_TAIL_LINES} --no-pager"
        if systemd
        else f"tail -n {_TAIL_LINES} {LOGS}/{name}.log"
    )
    return connection.attempt(f"{how} || true", seconds=30).output


def _alive(name: str) -> str:
    """Return a shell condition: this very process still runs; it sets ``pid``."""
    return (
        f"{{ read -r pid started < {FOLDER}/{name}.pid && "
        f'[ "$(awk \'{{print $22}}\' /proc/$pid/stat 2>/dev/null)" = "$started" ] ; }} 2>/dev/null'
    )
