"""A SLURM cluster on one machine: munged, slurmctld and four slurmd, without accounting.

Partition `cpu` holds cpu1 and cpu2; partition `gpu` holds gpu1 and gpu2, each with one GPU that is
only /dev/null. All daemons stay in the foreground, as children of this process; what they start
carries a mark in its environment. So the end of the cluster is the end of exactly what it started.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")
"""The Snakemake plugin's job step forgets SLURM_CONF: the config must be where SLURM looks."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
MARK = "DECON3D_TEST_CLUSTER"
NODES = {"cpu1": 17011, "cpu2": 17012, "gpu1": 17013, "gpu2": 17014}
"""Nodes and the ports that their slurmd listen on."""
SETTINGS = """\
ClusterName=decon3d
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=17010
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# More CPUs and memory than the machine has: a test of where jobs go, not of speed.
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
# The tests ask about jobs that ended long ago.
MinJobAge=3600
# A node that died is seen within seconds.
SlurmdTimeout=15
# The machine may be busy.
MessageTimeout=60
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=64000"


def missing() -> str:
    """Say what is missing for a cluster on this machine; empty = nothing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no test cluster: {', '.join(absent)} not found (apt install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "no test cluster: it must be started as root"
    if CONFIG.exists() and not _is_ours(CONFIG):
        return f"no test cluster: {CONFIG} belongs to another one"
    return ""


@contextmanager
def running() -> Iterator["Cluster"]:
    """Start the cluster; end it, and what it started, afterwards. One at a time on a machine."""
    with open(Path(tempfile.gettempdir()) / "decon3d-slurm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(tempfile.mkdtemp(prefix="decon3d-slurm-"))
        cluster = Cluster(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Cluster:
    """The daemons and where they work."""

    folder: Path
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of commands for this cluster: the mark, and no trace of another cluster."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        return {**clean, "PATH": _path(), MARK: str(self.folder)}

    def start(self) -> None:
        """Write the configuration, start all daemons and wait until the nodes are idle."""
        host = socket.gethostname().partition(".")[0]
        nodes = [
            NODE.format(name=name, host=host, port=port) + (" Gres=gpu:1" * (name[:3] == "gpu"))
            for name, port in NODES.items()
        ]
        partitions = [
            "PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=7-00:00:00",
            "PartitionName=gpu Nodes=gpu[1-2] MaxTime=2-00:00:00",
        ]
        settings = SETTINGS.format(folder=self.folder, host=host)
        lines = [settings.rstrip(), *nodes, *partitions, ""]
        (self.folder / "slurm.conf").write_text("\n".join(lines))
        gres = [f"NodeName={n} Name=gpu Count=1 File=/dev/null\n" for n in NODES if n[:3] == "gpu"]
        (self.folder / "gres.conf").write_text("".join(gres))
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.folder.chmod(0o755)
        CONFIG.parent.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            place = CONFIG.with_name(name)
            if place.is_symlink() and _is_ours(place):  # of a run that was killed
                place.unlink()
            place.symlink_to(self.folder / name)
        munge = [f"--{k}={self.folder}/munge.{k.partition('-')[0]}" for k in ("socket", "key-file")]
        munge += [f"--{k}-file={self.folder}/munge.{k}" for k in ("pid", "log", "seed")]
        # --force: this folder lies in /tmp, which everybody may write to.
        self._daemon("munged", "--foreground", "--force", *munge)
        wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._daemon("slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        wait(lambda: self.nodes("idle") == set(NODES), f"four idle nodes; see {self.folder}")

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self._daemon(f"slurmd.{name}", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """End a node as a power cut would: its slurmd, and all processes of its jobs."""
        jobs = {
            r["JobId"] for r in self.jobs() if (r["NodeList"], r["JobState"]) == (name, "RUNNING")
        }
        daemon = self.daemons.pop(f"slurmd.{name}")
        daemon.kill()
        daemon.wait()
        # First who watches over the jobs' steps: nobody shall tell the controller of their end.
        for process in _processes():
            step = re.match(r"slurmstepd: \[(\d+)\.", _read(process, "cmdline"))
            if step and step[1] in jobs:
                _signal(process, signal.SIGKILL)
        for process in self._marked():
            if _environment(process).get("SLURMD_NODENAME") == name:
                _signal(process, signal.SIGKILL)

    def call(self, *command: str) -> str:
        """Run one of SLURM's commands; return its output."""
        return subprocess.run(
            command,
            env=self.environment,
            text=True,
            check=True,
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout

    def nodes(self, state: str) -> set[str]:
        """Return the nodes in a state."""
        try:
            said = self.call("sinfo", "--noheader", "--Node", f"--states={state}", "--format=%N")
        except subprocess.CalledProcessError:  # slurmctld does not answer yet
            return set()
        return set(said.split())

    def jobs(self) -> list[dict[str, str]]:
        """Return SLURM's record of every job, in the order of submission."""
        lines = self.call("scontrol", "--oneliner", "show", "job").splitlines()
        return sorted(filter(None, map(_fields, lines)), key=lambda record: int(record["JobId"]))

    def stop(self) -> None:
        """End all jobs, daemons and leftovers of this cluster, and take its configuration away."""
        if "slurmctld" in self.daemons:
            try:
                self.call("scancel", "--user=root")
                wait(lambda: not self.call("squeue", "--noheader").strip(), "the jobs' end", 30)
            except (subprocess.SubprocessError, TimeoutError):
                pass  # what is left is killed below
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self._marked():
            _signal(process, signal.SIGKILL)
        for name in ("slurm.conf", "gres.conf"):
            place = CONFIG.with_name(name)
            if place.is_symlink() and place.readlink().parent == self.folder:
                place.unlink()

    def _daemon(self, name: str, *arguments: str) -> None:
        output = open(self.folder / f"{name}.out", "ab")  # noqa: SIM115 (the daemon keeps it)
        self.daemons[name] = subprocess.Popen(
            [name.partition(".")[0], *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        output.close()

    def _marked(self) -> list[int]:
        """Return the processes that this cluster started, directly or through a job."""
        return [n for n in _processes() if _environment(n).get(MARK) == str(self.folder)]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _is_ours(place: Path) -> bool:
    """Say whether a configuration is a link to that of a test cluster."""
    return place.is_symlink() and place.readlink().parent.name.startswith("decon3d-slurm-")


def _fields(line: str) -> dict[str, str]:
    """Split `Key=value Key=value …`; values with blanks keep their first word."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _environment(process: int) -> dict[str, str]:
    """Return the environment that a process was started with; empty if it has ended."""
    entries = _read(process, "environ").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _processes() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def _read(process: int, name: str) -> str:
    """Read a file of /proc; empty if the process has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def wait(condition, what: str, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.3)
