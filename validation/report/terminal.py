"""The summary at the end of a run, for a terminal, a pipe and a CI log alike.

Everything that comes from outside is put into `Text`, never into rich's markup. The verdict is the
last line. Colour only repeats what a sign and a word say.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation.report import wording
from validation.report.results import Results, State
from validation.verdict import Outcome, Verdict

STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.NOT_MEASURED: "magenta",
}
_SIMPLER = str.maketrans(
    {"≤": "<=", "≥": ">=", "✓": "+", "✗": "x", "○": "o", "·": "|", "∞": "inf", "…": "...", "─": "-"}
)
_WIDE = 110
_LONGEST_MESSAGE_LINES = 12


def print_summary(results: Results, folder: Path, console: Console) -> None:
    """Print a run's summary.

    Args:
        results: The run.
        folder: Its folder; shown so that a reader finds report and samples.
        console: Where to print.
    """
    if console.encoding.lower().startswith("utf"):
        _print_all(results, folder, console)
        return
    # A terminal of another encoding: the same text with signs that it has.
    text = StringIO()
    _print_all(results, folder, Console(file=text, width=console.width, no_color=True))
    shown = text.getvalue().translate(_SIMPLER)
    console.file.write(shown.encode(console.encoding, "replace").decode(console.encoding))


def _print_all(results: Results, folder: Path, console: Console) -> None:
    _print_head(results, console)
    for target in _targets(results):
        gates = [gate for gate in results.gates if gate.target == target]
        if gates:
            console.print()
            console.print(_gates_table(target, gates, wide=console.width >= _WIDE))
    _print_faults(results, console)
    _print_open_gates(results.gates, console)
    _print_unmeasured(results, console)
    _print_unruled(results, console)
    _print_checks(results, console)
    _print_verdict(results, folder, console)


def _targets(results: Results) -> list[str]:
    """Return the targets' names in order; a rule that nothing matched may have none."""
    named = [str(target.get("name", "")) for target in results.targets]
    return list(dict.fromkeys([*named, *(gate.target for gate in results.gates)]))


def _print_head(results: Results, console: Console) -> None:
    if results.state is not State.COMPLETE:
        console.print(Text(f"INCOMPLETE  {wording.state_line(results)}", style="bold red"))
    host = results.host
    console.print(
        Text(
            f"Run {wording.line(results.run)}, profile {wording.line(results.profile)}, "
            f"on {host.cores} cores, {wording.line(host.cpu)}"
        )
    )
    for target in results.targets:
        name = str(target.get("name", ""))
        version = results.servers.get(name, {}).get("version", "unknown")
        uri = target.get("milvus", {}).get("uri", "")
        console.print(Text(wording.line(f"Target {name}: Milvus {version} at {uri}")))
    for dataset in results.datasets:
        facts = ", ".join(
            f"{key} {value}" for key, value in dataset.items() if key in {"rows", "dim", "queries"}
        )
        console.print(Text(wording.line(f"Dataset {dataset.get('name', '')}: {facts}")))
    if results.phases:
        shown = " · ".join(
            f"{wording.line(phase.name)} {wording.duration(phase.seconds)}"
            for phase in results.phases
        )
        total = (results.finished - results.started).total_seconds()
        console.print(Text(f"Phases ({wording.duration(total)} in all): {shown}"))


def _gates_table(target: str, gates: list[Verdict], *, wide: bool) -> Table:
    """Return the table of one target's gates, a section for each claim family."""
    table = Table(
        title=Text(f"Target {wording.line(target)}" if target else "No target"),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        expand=False,
    )
    table.add_column("Gate", overflow="fold", min_width=14)
    table.add_column("Rule", overflow="fold", no_wrap=wide)
    table.add_column(Text("Observed [95 % interval]"), overflow="fold", no_wrap=wide)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("Verdict", overflow="fold", min_width=8)
    ordered = sorted(gates, key=lambda gate: _family_position(gate.rule.metric))
    previous = ""
    for gate in ordered:
        name = wording.family(gate.rule.metric)
        if name != previous:
            table.add_row(Text(wording.FAMILIES[name], style="bold underline"))
            previous = name
        table.add_row(*_gate_row(gate))
    return table


def _family_position(metric: str) -> int:
    return list(wording.FAMILIES).index(wording.family(metric))


def _gate_row(gate: Verdict) -> tuple[Text, ...]:
    figures = f"{wording.observed(gate)} {wording.interval(gate)}".rstrip()
    # Words, not colour, tell an advisory gate: it never decides the run.
    word = wording.WORDS[gate.outcome] + ("" if gate.required else " (advisory)")
    style = STYLES[gate.outcome] if gate.required else "dim"
    return (
        Text(f"{wording.line(gate.gate)}{wording.labels(gate, beyond_rule=True)}"),
        Text(wording.rule_text(gate.rule)),
        Text(figures),
        Text(f"{gate.n:,}" if gate.n else "-"),
        Text(f"{wording.SIGNS[gate.outcome]} {word}", style=style),
    )


def _print_faults(results: Results, console: Console) -> None:
    """Print what each fault of a drill came to, and how much of Milvus's traffic met it."""
    found = wording.faults(results)
    if found:
        console.print()
        console.print(Text("Faults", style="bold"))
    for outcome, name, said in found:
        sign = Text(f"  {wording.SIGNS[outcome]} ", style=STYLES[outcome])
        _print_item(console, sign, f"{wording.line(name)}: {said}")


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
            _print_item(console, sign, f"{what}{word}: {wording.why(gate)}")
            if gate.remedy:
                _print_item(console, Text("    -> "), wording.line(gate.remedy))


def _print_item(console: Console, mark: Text, text: str) -> None:
    """Print a list's item; what does not fit on its line stands below its first word."""
    grid = Table.grid()
    grid.add_column(width=mark.cell_len, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, Text(text))
    console.print(grid)


def _print_unmeasured(results: Results, console: Console) -> None:
    """Print what was not measured although no rule asks for it."""
    found = wording.unmeasured(results)
    if found:
        console.print()
        console.print(Text("Not measured, and no rule asks for it", style="bold"))
    for text in found:
        _print_item(console, Text(f"  {wording.SIGNS[Outcome.NOT_MEASURED]} "), text)


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
