"""The summary at the end of a run, for a terminal, a pipe and a CI log alike.

A line for each claim family, then in full what did not pass. Everything that comes from outside is
put into `Text`, never into rich's markup. The verdict is the last line. Colour only repeats what a
sign and a word say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation.report import wording
from validation.report.families import FAMILIES, Family, families
from validation.report.results import Results, State
from validation.verdicts.verdict import Outcome, Verdict

STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.NOT_MEASURED: "magenta",
}
_SIMPLER = str.maketrans(
    {"≤": "<=", "≥": ">=", "✓": "+", "✗": "x", "○": "o", "·": "|", "∞": "inf", "…": "...", "─": "-"}
)
_TITLE = max(map(len, FAMILIES.values())) + 2
_LONGEST_MESSAGE_LINES = 12
_FOLDED = 2
"""More measurements than this that a gate passed with one figure are a row; the report has each."""


def print_summary(
    results: Results, folder: Path, console: Console, *, verbose: bool = False
) -> None:
    """Print a run's summary.

    Args:
        results: The run.
        folder: Its folder; shown so that a reader finds report and samples.
        console: Where to print.
        verbose: Print every gate, and what no rule asks for.
    """
    if console.encoding.lower().startswith("utf"):
        _print_all(results, folder, console, verbose=verbose)
        return
    # A terminal of another encoding: the same text with signs that it has.
    text = StringIO()
    plain = Console(file=text, width=console.width, no_color=True)
    _print_all(results, folder, plain, verbose=verbose)
    shown = text.getvalue().translate(_SIMPLER)
    console.file.write(shown.encode(console.encoding, "replace").decode(console.encoding))


def _print_all(results: Results, folder: Path, console: Console, *, verbose: bool) -> None:
    _print_head(results, console, verbose=verbose)
    for target in _targets(results):
        found = families(gate for gate in results.gates if gate.target == target)
        if found:
            console.print()
            title = f"Target {wording.line(target)}" if target else "No target"
            console.print(Text(title, style="bold"))
        for family in found:
            _print_family(family, console, verbose=verbose)
    _print_faults(results, console)
    _print_open_gates(results.gates, console)
    _print_unmeasured(results, console, verbose=verbose)
    _print_unruled(results, console)
    _print_checks(results, console)
    _print_verdict(results, folder, console)


def _targets(results: Results) -> list[str]:
    """Return the targets' names in order; a rule that nothing matched may have none."""
    named = [str(target.get("name", "")) for target in results.targets]
    return list(dict.fromkeys([*named, *(gate.target for gate in results.gates)]))


def _print_head(results: Results, console: Console, *, verbose: bool) -> None:
    if results.state is not State.COMPLETE:
        console.print(Text(f"INCOMPLETE  {wording.state_line(results)}", style="bold red"))
    host, took = results.host, (results.finished - results.started).total_seconds()
    name, profile = wording.line(results.run), wording.line(results.profile)
    print_item(console, Text("Run "), f"{name}, profile {profile}, {wording.duration(took)}")
    print_item(console, Text("On "), f"{host.cores} cores, {wording.line(host.cpu)}")
    for target in results.targets:
        name = str(target.get("name", ""))
        version = results.servers.get(name, {}).get("version", "unknown")
        uri = target.get("milvus", {}).get("uri", "")
        print_item(console, Text("Target "), wording.line(f"{name}: Milvus {version} at {uri}"))
    for dataset in results.datasets:
        facts = ", ".join(
            f"{key} {value}" for key, value in dataset.items() if key in {"rows", "dim", "queries"}
        )
        print_item(console, Text("Dataset "), wording.line(f"{dataset.get('name', '')}: {facts}"))
    if results.phases and verbose:
        shown = " · ".join(
            f"{wording.line(phase.name)} {wording.duration(phase.seconds)}"
            for phase in results.phases
        )
        print_item(console, Text("Phases "), shown)


def _print_family(family: Family, console: Console, *, verbose: bool) -> None:
    """Print what became of a family's gates in a line; each of them as well if that is wanted."""
    style = STYLES[family.outcome] if family.required else "dim"
    mark = Text.assemble("  ", (wording.SIGNS[family.outcome], style), f" {family.title:{_TITLE}}")
    print_item(console, mark, family.said)
    for alike in _folded(family.gates) if verbose else ():
        _print_gate(alike, console)


def _folded(gates: Sequence[Verdict]) -> list[list[Verdict]]:
    """Return gates in rows: what many measurements all passed, with the same figure, is one row."""
    rows: dict[object, list[Verdict]] = {}
    for at, gate in enumerate(gates):
        exact = gate.outcome is Outcome.PASS and gate.method == "exact"
        rows.setdefault((gate.gate, gate.observed) if exact else at, []).append(gate)
    return [
        part
        for row in rows.values()
        for part in ([row] if len(row) > _FOLDED else [[gate] for gate in row])
    ]


def _print_gate(alike: Sequence[Verdict], console: Console) -> None:
    """Print what a gate came to: on one line, or its figures on the next where that is too long."""
    gate, count = alike[0], sum(one.n for one in alike)
    labels = (
        f" ({len(alike)} measurements)"
        if len(alike) > 1
        else wording.labels(gate, beyond_rule=True)
    )
    # Words, not colour, tell an advisory gate: it never decides the run.
    figures = [
        f"{wording.observed(gate)} {wording.interval(gate)}".rstrip(),
        f"rule {wording.rule_text(gate.rule)}",
        f"n = {count:,}",
        *([] if gate.outcome is Outcome.PASS else [wording.WORDS[gate.outcome]]),
        *([] if gate.required else ["advisory"]),
    ]
    mark = Text.assemble("      ", (wording.SIGNS[gate.outcome], STYLES[gate.outcome]), " ")
    name, said = f"{wording.line(gate.gate)}{labels}:", "; ".join(figures)
    fits = mark.cell_len + cell_len(f"{name} {said}") <= console.width
    print_item(console, mark, f"{name} {said}" if fits else f"{name}\n  {said}")


def _print_faults(results: Results, console: Console) -> None:
    """Print what each fault of a drill came to, and how much of Milvus's traffic met it."""
    found = wording.faults(results)
    if found:
        console.print()
        console.print(Text("Faults", style="bold"))
    for outcome, name, said in found:
        sign = Text(f"  {wording.SIGNS[outcome]} ", style=STYLES[outcome])
        print_item(console, sign, f"{wording.line(name)}: {said}")


def _print_open_gates(gates: Iterable[Verdict], console: Console) -> None:
    """Print why gates did not pass, the required ones first, and what to do."""
    open_ = [gate for gate in gates if gate.outcome is not Outcome.PASS]
    for required, title in ((True, "Did not pass"), (False, "Did not pass (advisory)")):
        chosen = [gate for gate in open_ if gate.required is required]
        if not chosen:
            continue
        console.print()
        console.print(Text(title, style="bold"))
        for gate in chosen:
            sign = Text(f"  {wording.SIGNS[gate.outcome]} ", style=STYLES[gate.outcome])
            at = f" at {wording.line(gate.target)}" if gate.target else ""
            what = f"{wording.line(gate.gate)}{wording.labels(gate)}{at}: "
            word = wording.WORDS[gate.outcome].lower()
            print_item(console, sign, f"{what}{word}: {wording.why(gate)}")
            if gate.remedy:
                print_item(console, Text("    -> "), wording.line(gate.remedy))


def print_item(console: Console, mark: Text, text: str) -> None:
    """Print a list's item; what does not fit on its line stands below its first word."""
    grid = Table.grid()
    grid.add_column(width=mark.cell_len, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, Text(text))
    console.print(grid)


def _print_unmeasured(results: Results, console: Console, *, verbose: bool) -> None:
    """Say how much was not measured although no rule asks for it, or what and why."""
    found = wording.unmeasured(results)
    if found and not verbose:
        console.print()
        console.print(Text(f"Not measured, and no rule asks for it: {len(found)} (-v lists it)"))
        return
    if found:
        console.print()
        console.print(Text("Not measured, and no rule asks for it", style="bold"))
    for text in found:
        print_item(console, Text(f"  {wording.SIGNS[Outcome.NOT_MEASURED]} "), text)


def _print_unruled(results: Results, console: Console) -> None:
    """Say how much was observed without a rule; the report lists it."""
    found = wording.unruled(results)
    if found:
        console.print()
        console.print(Text(f"Observed, and no rule asks for it: {len(found)} (in the report)"))


def _print_checks(results: Results, console: Console) -> None:
    """Print the checks that failed or broke off by themselves, with the start of their words."""
    for check in wording.failed_checks(results):
        console.print()
        word = "failed" if check.outcome == "failed" else "broke off"
        where = f" at {check.target}" if check.target else ""
        console.print(Text(wording.line(f"Check {word}: {check.id}{where}"), style="bold red"))
        lines = wording.plain(check.message).splitlines()
        for said in lines[:_LONGEST_MESSAGE_LINES]:
            console.print(Text(f"    {said}"))
        if len(lines) > _LONGEST_MESSAGE_LINES:
            console.print(
                Text(f"    … {len(lines) - _LONGEST_MESSAGE_LINES} more lines in results")
            )


def _print_verdict(results: Results, folder: Path, console: Console) -> None:
    for said in wording.answers(results):
        console.print()
        console.print(Text(said))
    advisory = [gate for gate in results.gates if not gate.required]
    console.print()
    if advisory:
        passed = sum(gate.outcome is Outcome.PASS for gate in advisory)
        console.print(Text(f"Advisory: {passed} of {len(advisory)} gates passed"))
    report = folder / "report.html"
    shown = report if report.exists() else folder
    # A path is never broken over lines: it is there to be copied.
    console.print(Text(f"Report: {shown}"), soft_wrap=True)
    text = f"{wording.WORDS[results.verdict]}  {wording.headline(results)}"
    console.print(Text(text, style=STYLES[results.verdict]), soft_wrap=True)
