"""Run Snakemake in a process of its own: show the run, and stop it within seconds."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from decon3d import paths
from decon3d.command.display import Run
from decon3d.errors import UserError
from decon3d.files import read_json, write_json
from decon3d.slurm.left import in_words, jobs_left

TIMES = Path("logs/seconds.json")
"""Seconds of a job of each rule, for the next run's estimate."""
TICK_S = 0.25
PLAIN_S = 300.0
"""Time between two reports of the state where there is no terminal."""
STOP_S = 4.5
"""Time after which a stopped run is killed."""
STOP_CLUSTER_S = 60.0
"""The same on a cluster, where Snakemake first cancels the jobs."""
STOPPED = 130
"""Exit status of a run that was stopped."""
CAUSES = {
    signal.SIGINT: "Ctrl-C (SIGINT)",
    signal.SIGTERM: "SIGTERM (kill, a shutdown or a time limit)",
    signal.SIGHUP: "SIGHUP (the terminal or connection was closed)",
}
"""The signals that stop a run."""


class Screen(Protocol):
    """Where a run is shown."""

    def show(self, lines: Iterable[str]) -> None:
        """Show lines that stay."""

    def update(self, run: Run) -> None:
        """Show the state of the run."""


class Terminal:
    """Lines of the stages at the bottom, renewed in place; all other lines above them."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def show(self, lines: Iterable[str]) -> None:
        """Show lines above those of the stages."""
        for line in lines:
            self.live.console.print(Text(line), soft_wrap=True)

    def update(self, run: Run) -> None:
        """Renew the lines of the stages."""
        lines = [run.stage_line(stage) for stage in run.stages.values()]
        if lines and not all(stage.ended for stage in run.stages.values()):
            lines.append(run.total_line())
        if lines:
            self.live.start()
            texts = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
            self.live.update(Group(*texts), refresh=True)


class Plain:
    """A line for each stage that has ended, and the state every five minutes: for files, pipes."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.last = time.monotonic()

    def show(self, lines: Iterable[str]) -> None:
        """Print lines."""
        for line in lines:
            print(line, flush=True)

    def update(self, run: Run) -> None:
        """Print the lines of the stages that have ended since the last call."""
        ended = [s for s in run.stages.values() if s.ended and s.name not in self.told]
        self.told |= {stage.name for stage in ended}
        self.show(run.stage_line(stage) for stage in ended)
        if time.monotonic() - self.last > PLAIN_S:
            self.last = time.monotonic()
            self.show(run.stage_line(s) for s in run.stages.values() if s.running)
            self.show([run.total_line()])


@contextlib.contextmanager
def screen() -> Iterator[Screen]:
    """Choose a screen: the terminal, or plain lines."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        yield Plain()
        return
    terminal = Terminal(console)
    try:
        yield terminal
    finally:
        terminal.live.stop()


def run_shown(
    script: Path, arguments: Sequence[str], *, last: Callable[[], Iterable[str]] = tuple
) -> int:
    """Run Snakemake and show the run.

    Parameters
    ----------
    script
        `scripts/run_snakemake.py`.
    arguments
        Of Snakemake.
    last
        Makes the last lines of a run without errors.

    Returns
    -------
    int
        The exit status; 130 if Ctrl-C, SIGTERM or SIGHUP stopped the run.
    """
    for number in CAUSES:
        if signal.getsignal(number) != signal.SIG_IGN:  # as by `nohup`
            signal.signal(number, _interrupt)
    was_locked = is_locked()
    told, events = os.pipe()
    life, lifeline = os.pipe()
    started = [sys.executable, "-P", str(script), f"{events},{life}", paths.RUN_LOG, *arguments]
    # A session of its own: Ctrl-C reaches this process only, which then stops the jobs in order.
    child = subprocess.Popen(started, pass_fds=(events, life), start_new_session=True)
    os.close(events)
    os.close(life)
    told_by, left = "", ""
    with screen() as shown:
        run = Run(known=_times())
        try:
            for event in _events(told):
                if event is not None:
                    shown.show(run.take(event))
                shown.show(run.read_logs())
                shown.update(run)
            code = child.wait()
        except KeyboardInterrupt as stop:
            told_by = str(stop)
            jobs = f"the jobs in the queue of {run.where} are cancelled; " if run.cluster else ""
            shown.show([f"Stopping, told by {told_by}: {jobs}running jobs save what they have."])
            os.close(lifeline)
            _end(child, STOP_CLUSTER_S if run.cluster else STOP_S)
            if run.slurm_name:
                with contextlib.suppress(KeyboardInterrupt):  # a second one
                    left = " " + in_words(run.slurm_name, jobs_left(run.slurm_name))
            if not was_locked:  # a killed Snakemake leaves its lock
                unlock()
            code = STOPPED
    if code == STOPPED:
        by = f" by {told_by}" if told_by else ""
        print(f"Stopped{by}.{left} Run the same command to go on.", flush=True)
    elif run.stages or run.nothing_to_do or run.failures:
        lines = [*run.last_lines(code, output=Path(paths.RUN_LOG)), *(last() if code == 0 else ())]
        print(*lines, sep="\n", flush=True)
        with contextlib.suppress(OSError):
            write_json(TIMES, {rule: round(s, 1) for rule, s in run.seconds().items()})
    return code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(CAUSES[signal.Signals(number)])


def _times() -> dict[str, float]:
    try:
        return {rule: float(seconds) for rule, seconds in read_json(TIMES).items()}
    except (UserError, OSError, AttributeError, TypeError, ValueError):  # none yet, or damaged
        return {}


def _events(told: int) -> Iterator[dict[str, Any] | None]:
    """Iterate over the events until the run ends; None after each `TICK_S` without one."""
    waiting: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        with os.fdopen(told, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                waiting.put(line)
        waiting.put("")

    threading.Thread(target=listen, daemon=True).start()
    while True:
        try:
            line = waiting.get(timeout=TICK_S)
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield json.loads(line)


def _end(child: "subprocess.Popen[bytes]", patience_s: float) -> None:
    """Wait for a run that was told to stop; kill it after `patience_s` or a second Ctrl-C."""
    try:
        child.wait(timeout=patience_s)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def is_locked() -> bool:
    """Return whether Snakemake works in the working directory, or was killed there."""
    return any(Path(paths.LOCKS).glob("*"))


def unlock() -> None:
    """Remove the locks that a killed Snakemake left in the working directory."""
    for lock in Path(paths.LOCKS).glob("*"):
        lock.unlink(missing_ok=True)
