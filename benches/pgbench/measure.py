"""One measurement: pgbench against one address, and the processor time that it cost on the way.

Processor time is what the kernel accounts to a process and all its threads (utime + stime of
/proc/<pid>/stat, in ticks of 1/100 s), so it depends on no sampling and on no other process.
"""

import glob
import os
import re
import statistics
import subprocess

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLED = 0.1  # share of transactions whose latency pgbench writes down


class MeasureError(Exception):
    """pgbench failed, or said something that is not understood."""


def _stat(pid):
    """The fields of /proc/<pid>/stat behind the process name, which may itself hold spaces."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def process_seconds(pid):
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def server_seconds(postmaster):
    """Processor time of the postmaster, of its living children, and of those it has reaped."""
    own = _stat(postmaster)
    ticks = sum(int(field) for field in own[11:15])
    with open(f"/proc/{postmaster}/task/{postmaster}/children") as file:
        children = file.read().split()
    for child in children:
        try:
            fields = _stat(child)
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def _number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise MeasureError(f"pgbench printed no {pattern!r}:\n{text[-2000:]}")
    return float(found.group(1))


def _percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


class Bench:
    """How pgbench is run, the same for every target."""

    def __init__(self, postgres, folder, user, database, seconds):
        self.pgbench = os.path.join(postgres.bin, "pgbench")
        self.postgres = postgres
        self.folder = folder
        self.user = user
        self.database = database
        self.seconds = seconds

    def run(self, workload, target, clients, seconds=None):
        """Runs `workload` against `target` and returns one row of figures."""
        seconds = seconds or self.seconds
        prefix = os.path.join(self.folder, "latency")
        command = [
            self.pgbench, "-h", "127.0.0.1", "-p", str(target.port), "-U", self.user, "-n",
            "-M", "prepared", "-c", str(clients), "-j", str(min(clients, os.cpu_count() or 1)),
            "-T", str(seconds), "--log", f"--log-prefix={prefix}", f"--sampling-rate={SAMPLED}",
            *workload.arguments(target), self.database,
        ]
        proxy = target.process.pid if target.process is not None else None
        server_before = server_seconds(self.postgres.pid)
        proxy_before = process_seconds(proxy) if proxy else 0
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds * 4 + 60,
        )
        proxy_after = process_seconds(proxy) if proxy else 0
        server_after = server_seconds(self.postgres.pid)
        if done.returncode != 0 or "aborted" in done.stderr:
            raise MeasureError(f"pgbench against {target.name}, {clients} clients:\n{done.stderr[-2000:]}")
        transactions = _number(r"transactions actually processed: (\d+)", done.stdout)
        if transactions == 0:
            raise MeasureError(f"pgbench against {target.name}, {clients} clients: no transaction")
        latencies = self._latencies(prefix)
        return {
            "tps": _number(r"tps = ([\d.]+) \(without", done.stdout),
            "latency_ms": _number(r"latency average = ([\d.]+) ms", done.stdout),
            "latency_p50_ms": _percentile(latencies, 0.50),
            "latency_p99_ms": _percentile(latencies, 0.99),
            "transactions": int(transactions),
            "proxy_cpu_us": (proxy_after - proxy_before) / transactions * 1e6 if proxy else None,
            "server_cpu_us": (server_after - server_before) / transactions * 1e6,
        }

    @staticmethod
    def _latencies(prefix):
        """Milliseconds of the sampled transactions; the files are taken away."""
        values = []
        for name in glob.glob(glob.escape(prefix) + ".*"):
            with open(name) as file:
                values += [int(line.split(" ", 3)[2]) / 1000 for line in file]
            os.unlink(name)
        return values


def summarize(rounds):
    """The median of each figure over the rounds, and the spread of the throughput."""
    summary = {}
    for figure in rounds[0]:
        values = [row[figure] for row in rounds if row[figure] is not None]
        summary[figure] = statistics.median(values) if values else None
    summary["tps_min"] = min(row["tps"] for row in rounds)
    summary["tps_max"] = max(row["tps"] for row in rounds)
    return summary


def ratio(rounds, reference, figure):
    """The median over the rounds of this round's figure against the reference's in the same round."""
    pairs = [
        (mine[figure], theirs[figure])
        for mine, theirs in zip(rounds, reference)
        if mine[figure] is not None and theirs[figure]
    ]
    return statistics.median(mine / theirs for mine, theirs in pairs) if pairs else None
