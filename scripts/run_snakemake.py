"""Run Snakemake for `decon3d run`, which shows the run: `run_snakemake.py PIPES LOG ARGUMENTS…`.

PIPES are two file descriptors, `EVENTS,LIFE`. Every event of the run is one line of JSON on EVENTS
(`decon3d.command.display`). What Snakemake and the jobs print goes to the file LOG instead of the
terminal. When LIFE is closed, or `decon3d run` has ended, the run stops: Snakemake gets SIGINT, and
the running jobs get SIGTERM and save their state.

`snakemake` alone needs none of this.
"""

import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from snakemake import cli
from snakemake.logging import DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

PLUGIN = "decon3d"
WITHOUT_RUN = (
    *("dryrun", "touch", "quiet", "verbose", "logger", "debug", "debug_dag", "edit_notebook"),
    *("lint", "list", "list_rules", "list_target_rules", "list_changes", "list_input_changes"),
    *("list_params_changes", "list_untracked", "list_conda_envs", "print_compilation"),
    *("summary", "detailed_summary", "archive", "report", "containerize", "dag", "rulegraph"),
    *("filegraph", "d3dag", "unlock", "cleanup_metadata", "cleanup_shadow", "delete_all_output"),
    *("delete_temp_output", "generate_unit_tests", "conda_cleanup_envs", "conda_create_envs_only"),
)
"""Options with which Snakemake runs no jobs, or prints other things than their progress."""
TARGETS_THAT_PRINT = {"verify"}
FIELDS = (
    *("stats", "jobid", "job_id", "jobs", "rule_name", "rule_msg", "wildcards", "log", "aux_logs"),
    *("exception", "indent", "job_error_info", "local", "output"),
)
"""Fields of an event that are sent, besides its message."""
GRACE_S = 3.5
"""Time in which a job saves its state."""


class Events:
    """The pipe to `decon3d run`."""

    file = -1

    @classmethod
    def tell(cls, **event: Any) -> None:
        """Write one line; do nothing if `decon3d run` has ended."""
        line = json.dumps(event, default=_plain) + "\n"
        try:
            data = line.encode()
            while data:
                data = data[os.write(cls.file, data) :]
        except OSError:
            return


class LogHandler(LogHandlerBase):
    """Snakemake's messages: as events, and in Snakemake's own form in the file."""

    writes_to_stream = True  # there is no other handler for the terminal
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.setFormatter(DefaultFormatter(self.common_settings.quiet, show_failed_logs=True))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one message, and write it to the file."""
        fields = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        Events.tell(
            event=str(getattr(record, "event", None) or "message"),
            level=record.levelname,
            message=record.getMessage(),
            **fields,
        )
        try:
            os.write(2, (self.format(record) + "\n").encode())
        except OSError:  # the disk is full
            return


class Lines(io.TextIOBase):
    """What the Snakefile prints, line by line: for the user, and in the file."""

    def __init__(self) -> None:
        self.begun = ""

    def write(self, text: str) -> int:
        """Send whole lines, and write all text to the file."""
        *whole, self.begun = (self.begun + text).split("\n")
        for line in filter(None, whole):
            Events.tell(event="text", message=line)
        os.write(2, text.encode())
        return len(text)

    def fileno(self) -> int:
        """Return the file's descriptor, for subprocesses."""
        return 2


def main() -> None:
    """Run Snakemake, and end with its exit status; 130 if it was stopped."""
    events, life = map(int, sys.argv[1].split(","))
    output, arguments = Path(sys.argv[2]), sys.argv[3:]
    sys.argv = ["snakemake", *arguments]
    Events.file = events
    # A shell starts `decon3d run … &` with SIGINT ignored; the stop below sends one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopping = threading.Event()
    threading.Thread(target=stop_when_told, args=(life, stopping), daemon=True).start()
    LoggerPluginRegistry().register_plugin(
        f"snakemake_logger_plugin_{PLUGIN}", sys.modules[__name__]
    )
    code: Any = 1
    said = io.StringIO()
    try:
        try:
            with contextlib.redirect_stderr(said):  # the profile in use, or a wrong option
                parser, args = cli.parse_args(arguments)
            if args.dryrun and not args.quiet:
                args.quiet = {Quietness.RULES}  # only count the jobs; `-v` lists them
            if shows_a_run(args):
                args.logger = [PLUGIN]
                print_to(output)
                Events.tell(event="shown", executor=str(args.executor))
        finally:
            os.write(2, without_usage(said.getvalue()).encode())
        code = 0 if cli.args_to_api(args, parser) else 1
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):  # the message of a Snakefile that refuses the config
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        cli.print_exception(error)
    if stopping.is_set():
        os._exit(130)  # Snakemake's timers would delay the end
    sys.exit(code)


def without_usage(text: str) -> str:
    """Return Snakemake's messages about its arguments; an error without the list of all options."""
    _, found, problem = text.rpartition("snakemake: error: ")
    return f"Error: {problem.strip()}; `snakemake --help` lists the options\n" if found else text


def shows_a_run(args: Any) -> bool:
    """Return whether the arguments run jobs, so that there is a progress to show."""
    if TARGETS_THAT_PRINT & set(args.targets):
        return False
    return not any(getattr(args, name, None) for name in WITHOUT_RUN)


def print_to(path: Path) -> None:
    """Send what this process and its jobs print to a file; lines of the Snakefile to the user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = sys.stderr = Lines()


def stop_when_told(life: int, stopping: threading.Event) -> None:
    """Wait until `decon3d run` ends or closes the pipe; then stop Snakemake and the jobs."""
    os.read(life, 1)
    stopping.set()
    os.kill(os.getpid(), signal.SIGINT)
    told: set[int] = set()
    until = time.monotonic() + GRACE_S
    while True:  # until this process ends
        late = time.monotonic() > until
        for process in psutil.Process().children(recursive=True):
            try:
                # Shells wait for the jobs that they started; SLURM's commands must finish.
                if "python" not in process.name():
                    continue
                if late:
                    process.kill()
                elif process.pid not in told:
                    process.terminate()
                    told.add(process.pid)
            except psutil.Error:
                continue
        time.sleep(0.1)


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return dict(value.items())
    return list(value) if isinstance(value, set | tuple) else str(value)


if __name__ == "__main__":
    main()
