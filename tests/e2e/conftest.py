"""What the end-to-end tests share: tools, images, a run's folder, one deployed stack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e import clean, evidence, host, project, strays, two_nodes
from tests.e2e.container_node import ContainerNode
from tests.e2e.deployment import Deployment
from tests.e2e.engine import Engine, engine
from tests.e2e.images.bundle import EVERY, chosen, image_archives
from tests.e2e.memory import MemoryWatch
from tests.e2e.site import cluster as site_cluster
from tests.e2e.toolchain import parts, provide
from tests.e2e.toolchain.provide import Toolchain, provide_part
from validation.common.cache import cache_folder
from validation.common.progress import Progress
from validation.errors import MilvusKitError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep",
        action="store_true",
        help="leave the stack running, and use the one that is running: for `make e2e-quick`",
    )


_NEIGHBOURS = {
    "test_breaks.py": "test_ci_cluster_stack.py",
    "test_ci_prod_stack.py": "test_ci_cluster_stack.py",
    "test_hosts_looked_at.py": "test_two_nodes.py",
    "test_hosts_refused.py": "test_two_nodes.py",
}
"""Modules that run right before another, which then uses the same cluster or the same hosts."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put side by side what shares a cluster or hosts; leave out what ends a stack to be kept."""
    items.sort(key=lambda item: _NEIGHBOURS.get(item.path.name, item.path.name))
    if config.getoption("--keep"):
        ending = [item for item in items if item.get_closest_marker("ends_the_stack")]
        config.hook.pytest_deselected(items=ending)
        items[:] = [item for item in items if item not in ending]


def pytest_configure(config: pytest.Config) -> None:
    strays.mark()
    config.addinivalue_line("markers", "ends_the_stack: left out when the stack is to be kept")
    config.addinivalue_line("markers", "foundation: the module's later tests stand on it")


_failed: dict[str, str] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    if item.get_closest_marker("foundation"):
        _failed.setdefault(str(item.path), item.name)
    deployment = getattr(item, "funcargs", {}).get("deployment")
    # A failed `up` has told them itself.
    if isinstance(deployment, Deployment) and "condition: " not in str(report.longrepr):
        told = evidence.causes(deployment) if deployment.has_cluster() else []
        explained = "\n".join(told or ["no pod is unready"])
        deployment.progress.say(f"✗ {item.name} failed; of the cluster:\n{explained}")
        report.sections.insert(0, ("the cluster when it failed", explained))


def pytest_runtest_setup(item: pytest.Item) -> None:
    earlier = _failed.get(str(item.path))
    if earlier:
        pytest.fail(f"not tried: it stands on {earlier}, which failed", pytrace=False)


_MEMORY = pytest.StashKey[MemoryWatch]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    watch = config.stash.get(_MEMORY, None)
    if watch is not None:
        terminalreporter.write_line(watch.sentence())


_PROGRESS = pytest.StashKey[Progress]()
_TOOLS = pytest.StashKey[Toolchain]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Provide tools and images before the first test, whose time a build would be taken from.

    A machine that has neither yet may build them for longer than any test should take.
    """
    config = session.config
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    progress = config.stash[_PROGRESS] = Progress()
    if "tools" not in wanted or config.option.collectonly:
        return
    try:
        host.require_root()
        strays.require_no_other_run()
        for folder in (project.runs_folder(), cache_folder()):
            host.require_space(folder)
        config.stash[_TOOLS] = provide(progress)
        if wanted & {"deployment", "nodes"}:
            image_archives(config.stash[_TOOLS], progress)
        if "kube_router" in wanted:
            provide_part(parts.KUBE_ROUTER, progress)
    except MilvusKitError as error:
        pytest.exit(f"end to end: {error}", returncode=int(error.exit_code))


def pytest_sessionfinish() -> None:
    site_cluster.give_back()


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Progress:
    return request.config.stash[_PROGRESS]


@pytest.fixture(scope="session")
def tools(request: pytest.FixtureRequest) -> Toolchain:
    return request.config.stash[_TOOLS]


@pytest.fixture(scope="session")
def run_folder(request: pytest.FixtureRequest, progress: Progress) -> Iterator[Path]:
    """A folder of this run's own, or the kept stack's; memory is watched while it is used."""
    fresh = project.runs_folder() / f"e2e-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = project.kept_folder() if request.config.getoption("--keep") else fresh
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    progress.say(f"evidence: {folder}")
    with MemoryWatch(folder / "memory.tsv") as watch:
        request.config.stash[_MEMORY] = watch
        yield folder


@pytest.fixture(scope="session")
def pulumi(
    request: pytest.FixtureRequest, tools: Toolchain, run_folder: Path, progress: Progress
) -> Engine:
    passphrase = evidence.passphrase(run_folder, keep=bool(request.config.getoption("--keep")))
    root = project.clone(run_folder / "project")
    made = engine(tools, root, run_folder, passphrase)
    for name in made.standins:
        progress.say(f"stand-in for {name}: the published plugin is not on PATH")
    return made


@pytest.fixture(scope="session")
def nodes(
    tools: Toolchain, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ContainerNode]]:
    """Two containers that are hosts: whoever gives one its cluster gives it back."""
    with two_nodes.containers(tools, progress, tmp_path_factory.mktemp("ssh")) as started:
        yield started


@pytest.fixture(scope="module")
def deployment(
    request: pytest.FixtureRequest,
    pulumi: Engine,
    tools: Toolchain,
    run_folder: Path,
    progress: Progress,
) -> Iterator[Deployment]:
    """The module's stack: its state is collected and the machine given back, whatever happens."""
    made = Deployment(request.module.STACK, pulumi, tools, run_folder, progress)
    kept = request.config.getoption("--keep")
    if not (kept and made.exists()):
        host.require_no_cluster()
    wanted = getattr(request.module, "IMAGES", EVERY)
    host.prepare(chosen(image_archives(tools, progress), made.stack, wanted))
    yield made
    evidence.collect(made, progress)
    if not kept:
        clean.main()
