"""`decon3d watch`: restore what arrives in a folder, once, by runs of the same workflow.

Every file is a dataset of its own, with the optics and methods of one config: a file that arrives
later changes nothing that is restored already. The folder is polled, since network shares do not
report changes.
"""

import contextlib
import copy
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from decon3d import paths
from decon3d.command.arrivals import Arrivals, Entry
from decon3d.command.launch import find_profile, read_config, workflow_folder
from decon3d.command.supervise import STOPPED, is_locked, unlock
from decon3d.errors import UserError
from decon3d.files import write_text
from decon3d.preflight import check_headers, list_inputs
from decon3d.report.index import PARTIAL_DATE
from decon3d.settings import instrument_folders, is_trained, load_settings, with_files
from decon3d.settings.files import table
from decon3d.user_paths import expand_path

PLACE = Path("logs/watch")
"""Record of the files, lock, config and headers, below the working directory."""
MOST_AT_ONCE = 50
"""Files of one run; the others follow in the next."""
ENDS_S = 10.0
"""A run whose `decon3d run` was killed stops by itself within this time."""


class BusyError(UserError):
    """Another watch, or a run that it started, is active."""


@dataclass
class Watch:
    """One folder and one config.

    Parameters
    ----------
    folder
        Where files arrive; only read.
    config
        A config with one dataset, whose `volumes` are ignored.
    settle_s
        A file is complete if it did not change for this time, and can be read.
    on_failure
        Command of the shell; gets one line as its argument `$1` and on its standard input.
    run
        Runs the workflow for a config; returns the exit status.
    """

    folder: Path
    config: Path
    settle_s: float
    on_failure: str | None
    run: Callable[[Path], int]
    clock: Callable[[], float] = time.time
    arrivals: Arrivals = field(init=False)

    def __post_init__(self) -> None:
        self.template = read_config(self.config)
        self.arrivals = Arrivals(
            self.folder.absolute(), PLACE / "files.json", self.settle_s, self.clock
        )

    def check(self) -> None:
        """Reject a folder or config that cannot be used.

        Raises
        ------
        UserError
            If the folder does not exist, the config does not have exactly one dataset, or a network
            would be trained for every file.
        """
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is not a folder; give the one in which files arrive")
        datasets = table(self.template.get("datasets"))
        if len(datasets) != 1:
            raise UserError(
                f"{self.config} has {len(datasets)} datasets; a watched folder needs a config with "
                "one, whose optics and channels all files share"
            )
        existing = str(self.config)  # in place of a file: no volume is read yet
        settings = load_settings(self._with_instruments({"template": existing}))
        for name, method in settings.methods.items():
            if is_trained(method):
                raise UserError(
                    f"{self.config}: methods.{name} would be trained for every file; train it "
                    f"once with `decon3d run`, and give the network: {name}: {{bundle: …}}"
                )

    def for_files(self, files: Mapping[str, str]) -> dict[str, Any]:
        """Return the config in which each file is a dataset; `files` maps their names to paths."""
        (dataset,) = self.template["datasets"].values()
        own = ("volumes", "simulate", "preview")
        shared = {key: value for key, value in table(dataset).items() if key not in own}
        datasets = {  # copies: YAML would write one object as an anchor and its aliases
            name: {**copy.deepcopy(shared), "volumes": [{"name": name, "path": path}]}
            for name, path in files.items()
        }
        return {**self.template, "datasets": datasets}

    def _with_instruments(self, files: Mapping[str, str]) -> Any:
        folders = instrument_folders([self.config], workflow_folder())
        return with_files(self.for_files(files), folders)

    def one_pass(self) -> int:
        """Look at the folder, and restore what is ready.

        Returns
        -------
        int
            The exit status of the run; 0 if there was nothing to do.
        """
        self.arrivals.look()
        ready = dict(islice(self._readable(self.arrivals.ready()), MOST_AT_ONCE))
        self.arrivals.save()
        if not ready:
            return 0
        if is_locked():
            say(f"Another run works in {Path.cwd()}; {len(ready)} new file(s) wait for its end")
            return 0
        names = ", ".join(entry.name for entry in ready.values())
        say(f"{len(ready)} new: {names}" if len(ready) < 10 else f"{len(ready)} new files")
        files = {entry.name: path for path, entry in ready.items()}
        config = yaml.safe_dump(self._with_instruments(files), sort_keys=False)
        write_text(PLACE / "config.yaml", config)
        started = time.time()
        self.arrivals.running = True
        self.arrivals.save()
        code = self.run(PLACE / "config.yaml")
        self.arrivals.running = False
        if code not in (STOPPED, -signal.SIGINT):
            self._take(ready, code, started)
        self.arrivals.save()
        return code

    def _readable(self, ready: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
        """Yield the files that fit the config and whose last plane can be read.

        The others are reported once, and tried again when they change.
        """
        for path, entry in ready.items():
            try:
                self._try_to_read(entry.name, path)
            except UserError as error:
                entry.state = "refused"
                text = " ".join(str(error).split())
                self._failed(f"{path} is left out until it changes: {text}")
            else:
                yield path, entry

    def _try_to_read(self, name: str, path: str) -> None:
        from decon3d.volumes.reader import open_volume
        from decon3d.volumes.volume import Reading

        settings = load_settings(self._with_instruments({name: path}))
        dataset = settings.datasets[name]
        check_headers(settings, list_inputs(settings), cache=PLACE / "headers.json")
        volume = open_volume(expand_path(path), reading=Reading.of(dataset))
        times, channels, planes = volume.shape[:3]
        # A file that is cut off lacks its last plane.
        for time_, plane in {(0, 0), (times - 1, planes - 1)}:
            region = (slice(plane, plane + 1), slice(None), slice(None))
            volume.read(time_, channels - 1, region)

    def _take(self, ready: Mapping[str, Entry], code: int, started: float) -> None:
        """Note which files were restored; report the others."""
        failed = []
        for entry in ready.values():
            if code == 0 or _has_page(entry.name, started):
                entry.state, entry.attempts = "done", 0
                continue
            entry.state, entry.attempts = "failed", entry.attempts + 1
            if entry.attempts == 1:
                failed.append(entry.name)
        if failed:
            names = ", ".join(failed)
            self._failed(f"decon3d: {names} could not be restored; see {paths.RUN_LOG}")

    def _failed(self, line: str) -> None:
        """Print a line, and pass it to the user's command."""
        say(line)
        if not self.on_failure:
            return
        try:
            subprocess.run(
                ["/bin/sh", "-c", self.on_failure, "decon3d", line],
                input=line + "\n",
                text=True,
                timeout=120,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"--on-failure: the command failed: {error}")


def _has_page(name: str, started: float) -> bool:
    try:
        made = os.stat(paths.report(name)).st_mtime
    except OSError:
        return False
    return made > PARTIAL_DATE and made > started - 2  # a share's clock may differ a little


def say(line: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now():%H:%M:%S} {line}", flush=True)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the locks of the working directory and of the folder; yield the former's descriptor.

    The kernel releases a lock when all processes that hold it have ended, for whatever reason. The
    run inherits it.

    Raises
    ------
    BusyError
        If another watch has one.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        own = os.open(PLACE / "lock", os.O_RDWR | os.O_CREAT)
        locks.callback(os.close, own)
        _lock(own, "in this working directory")
        try:
            there = os.open(folder, os.O_RDONLY)
        except OSError:
            there = None
        if there is not None:
            locks.callback(os.close, there)
            _lock(there, f"on {folder}")
        yield own


def _lock(file: int, where: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BusyError(
            f"another watch, or a run that it started, is at work {where}; wait until it ends"
        ) from error
    except OSError:  # a network share without locks for folders
        return


def runner(profile: str, arguments: Sequence[str], lock: int) -> Callable[[Path], int]:
    """Return what runs the workflow: `decon3d run`, which keeps the lock while it works."""
    find_profile(profile)

    def run(config: Path) -> int:
        command = [sys.executable, "-P", "-m", "decon3d", "run", str(config)]
        command += ["--profile", profile, *arguments]
        # A session of its own: Ctrl-C reaches the watch alone, which then stops the run.
        child = subprocess.Popen(command, pass_fds=(lock,), start_new_session=True)
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.wait()
            return STOPPED

    return run


def watch_folder(
    folder: Path,
    config: Path,
    *,
    settle_s: float,
    every_s: float,
    on_failure: str | None,
    once: bool,
    profile: str,
    arguments: Sequence[str],
) -> int:
    """Watch a folder until Ctrl-C, or for one pass.

    Returns
    -------
    int
        The exit status: with `once`, that of the run; 130 after Ctrl-C or SIGTERM.

    Raises
    ------
    UserError
        If the folder or config cannot be used, or another watch works here.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone(folder) as lock:
            run = runner(profile, arguments, lock)
            watch = Watch(folder, config, settle_s, on_failure, run)
            watch.check()
            watch.arrivals.load()
            if watch.arrivals.running:
                _unlock_killed()
            if once:
                return _once(watch)
            say(f"Watching {folder}; Ctrl-C ends it")
            while True:
                try:
                    code = watch.one_pass()
                except UserError as error:  # a share that is away for a while
                    say(str(error))
                    code = 0
                if code == STOPPED:
                    raise KeyboardInterrupt
                time.sleep(every_s)
    except BusyError:
        if once:  # cron's next turn
            return 0
        raise
    except KeyboardInterrupt:
        say("Stopped. Run the same command to go on.")
        return STOPPED


def _once(watch: Watch) -> int:
    watch.arrivals.look()
    if watch.arrivals.waiting():
        time.sleep(watch.settle_s + 0.1)
    return watch.one_pass()


def _unlock_killed() -> None:
    """Remove the lock that a killed run left; a running one would still hold the watch's lock."""
    until = time.monotonic() + ENDS_S
    while is_locked() and time.monotonic() < until:
        time.sleep(0.5)
    unlock()
