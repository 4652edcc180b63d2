"""One measurement: a load against one address, and the processor time that it cost on the way.

Processor time is what the kernel accounts to a process and all its threads (utime + stime of
/proc/<pid>/stat, in ticks of 1/100 s), so it depends on no sampling and on no other process. It is
that of the transactions alone: what opening the sessions costs is measured beside each turn, by one
transaction a client, and taken off.
"""

import glob
import os
import re
import statistics
import subprocess
import threading
import time

from servers import DATABASE, USERS

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
IDLE_WAIT_SECONDS_MAX = 180
IDLE_WARM_SESSIONS = 20
RATIOS = ("tps", "latency_p50_ms", "latency_p99_ms", "proxy_cpu_us")


class MeasureError(Exception):
    """A client failed, or said something that is not understood."""


def _stat(pid):
    """The fields of /proc/<pid>/stat behind the process name, which may itself hold spaces."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def process_seconds(pid):
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def server_seconds(postmaster):
    """Processor time of the postmaster, of its living children, and of those it has reaped."""
    while True:
        own = _stat(postmaster)
        children = sum(_living_ticks(postmaster))
        # A child that was reaped in between is in neither sum: look again.
        if _stat(postmaster)[13:15] == own[13:15]:
            return (sum(int(field) for field in own[11:15]) + children) / TICKS_PER_SECOND


def _living_ticks(postmaster):
    with open(f"/proc/{postmaster}/task/{postmaster}/children") as file:
        children = file.read().split()
    for child in children:
        try:
            fields = _stat(child)
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(fields[11]) + int(fields[12])


def memory(pid):
    """Resident and proportional memory of a process, in KiB; the second only where we may look."""
    found = {"rss": None, "pss": None}
    for file_name, key, name in (("status", "VmRSS:", "rss"), ("smaps_rollup", "Pss:", "pss")):
        try:
            with open(f"/proc/{pid}/{file_name}") as file:
                found[name] = next((int(line.split()[1]) for line in file if line.startswith(key)), None)
        except PermissionError:
            pass
    return found


def _number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise MeasureError(f"pgbench printed no {pattern!r}:\n{text[-2000:]}")
    return float(found.group(1))


def _percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


class Spent:
    """Processor time of the proxy and of the server since it was made."""

    def __init__(self, postgres, target):
        self.postgres = postgres.pid
        self.proxy = target.process.pid if target.process is not None else None
        self.server_before = server_seconds(self.postgres)
        self.proxy_before = process_seconds(self.proxy) if self.proxy else 0

    def seconds(self):
        proxy = process_seconds(self.proxy) - self.proxy_before if self.proxy else None
        return proxy, server_seconds(self.postgres) - self.server_before


class Bench:
    """How the clients are run, the same for every target."""

    def __init__(self, postgres, folder, seconds):
        self.postgres = postgres
        self.folder = folder
        self.seconds = seconds

    def address(self, target):
        return ["-h", "127.0.0.1", "-p", str(target.port), "-U", USERS[target.login]]

    def pgbench(self, workload, target, clients):
        """Runs `workload` by pgbench for one turn and returns one row of figures."""
        opened = (0, 0, 0)
        if not workload.connects:
            opened = self._pgbench(workload, target, clients, ["-t", "1"])[:3]
        prefix = os.path.join(self.folder, "latency")
        log = ["-T", str(self.seconds), "--log", f"--log-prefix={prefix}"]
        if workload.sampled < 1:
            log.append(f"--sampling-rate={workload.sampled}")
        whole = self._pgbench(workload, target, clients, log)
        latencies = self._latencies(prefix)
        count, proxy, server = (whole[i] - opened[i] if whole[i] is not None else None for i in range(3))
        if count < 1:
            raise MeasureError(f"pgbench against {target.name}, {clients} clients: no transaction")
        printed = whole[3]
        mean = _number(r"latency average = ([\d.]+) ms", printed)
        if workload.connects:
            latencies = []  # of what follows the login alone; the mean is of the whole
        return _row(_number(r"tps = ([\d.]+) \(", printed), mean, latencies, int(count), proxy, server)

    def _pgbench(self, workload, target, clients, more):
        # A thread of pgbench waits for each login, and its other clients with it: where logins are what is
        # measured each client has its own, or what a proxy does behind the login would seem to cost nothing.
        threads = clients if workload.connects else min(clients, os.cpu_count() or 1)
        command = [
            os.path.join(self.postgres.bin, "pgbench"), *self.address(target), "-n", "-c", str(clients),
            "-j", str(threads), *more, *workload.arguments(target), DATABASE,
        ]
        spent = Spent(self.postgres, target)
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=self.seconds * 4 + 60, env=target.environment(),
        )
        proxy, server = spent.seconds()
        if done.returncode != 0 or "aborted" in done.stderr:
            raise MeasureError(f"pgbench against {target.name}, {clients} clients:\n{done.stderr[-2000:]}")
        return _number(r"transactions actually processed: (\d+)", done.stdout), proxy, server, done.stdout

    @staticmethod
    def _latencies(prefix):
        """Milliseconds of the sampled transactions; the files are taken away."""
        values = []
        for name in glob.glob(glob.escape(prefix) + ".*"):
            with open(name) as file:
                values += [int(line.split(" ", 3)[2]) / 1000 for line in file]
            os.unlink(name)
        return values

    def copy(self, workload, target, clients):
        """Runs `workload` by as many psql for one turn and returns one row of figures."""
        sessions = []
        try:
            for client in range(clients):
                text = workload.text(target) if callable(workload.text) else workload.text.format(client=client)
                sessions.append(_Psql(self, text, target))
            for session in sessions:
                session.transact()  # connects, warms, and is not counted
            spent = Spent(self.postgres, target)
            threads = [threading.Thread(target=session.transact_for, args=(self.seconds,)) for session in sessions]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            proxy, server = spent.seconds()
        finally:
            for session in sessions:
                session.close()
        for session in sessions:
            if session.failed:
                raise MeasureError(f"psql against {target.name}, {clients} clients: {session.failed}")
        latencies = [latency for session in sessions for latency in session.latencies]
        tps = sum(len(session.latencies) / (sum(session.latencies) / 1000) for session in sessions)
        return _row(tps, statistics.mean(latencies), latencies, len(latencies), proxy, server)

    def idle(self, target, sessions):
        """Memory that each of so many idle sessions takes of a proxy that has had a few before."""
        with self._held(target, IDLE_WARM_SESSIONS):
            pass
        before = memory(target.process.pid)
        with self._held(target, sessions):
            after = memory(target.process.pid)
        each = {key: (after[key] - before[key]) / sessions if before[key] is not None else None for key in before}
        return {"rss_kib": each["rss"], "pss_kib": each["pss"], "process_mib": after["rss"] / 1024}

    def _held(self, target, sessions):
        return _Held(self, target, sessions)


def _row(tps, mean, latencies, transactions, proxy, server):
    return {
        "tps": tps,
        "latency_ms": mean,
        "latency_p50_ms": _percentile(latencies, 0.50),
        "latency_p99_ms": _percentile(latencies, 0.99),
        "transactions": transactions,
        "proxy_cpu_us": proxy / transactions * 1e6 if proxy is not None else None,
        "server_cpu_us": server / transactions * 1e6,
    }


class _Psql:
    """One psql that runs the same text again and again, and says when it has."""

    DONE = "the transaction is over"

    def __init__(self, bench, text, target):
        self.text = f"{text}\\echo '{self.DONE}'\n"
        self.latencies = []  # milliseconds
        self.failed = None
        self.errors = open(os.path.join(bench.folder, "psql-errors"), "w+")
        self.child = subprocess.Popen(
            [os.path.join(bench.postgres.bin, "psql"), *bench.address(target), "-d", DATABASE, "-XqAt",
             "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=target.environment(),
        )

    def transact(self):
        try:
            self.child.stdin.write(self.text)
            self.child.stdin.flush()
            if self.child.stdout.readline().strip() == self.DONE:
                return True
        except BrokenPipeError:
            pass
        self.errors.seek(0)
        self.failed = self.errors.read()[-2000:] or "it ended"
        return False

    def transact_for(self, seconds):
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end and self.transact():
            self.latencies.append((time.monotonic() - began) * 1000)

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        self.errors.close()


class _Held:
    """Sessions that have run one statement each and stay, in one pgbench that sleeps."""

    def __init__(self, bench, target, sessions):
        self.postgres = bench.postgres
        self.sessions = sessions
        script = os.path.join(bench.folder, "idle.sql")
        with open(script, "w") as out:
            out.write(f"SELECT 1;\n\\sleep {IDLE_WAIT_SECONDS_MAX * 2} s\n")
        self.command = [
            os.path.join(bench.postgres.bin, "pgbench"), *bench.address(target), "-n", "-c", str(sessions),
            "-j", str(os.cpu_count() or 1), "-t", "1", "-f", script, DATABASE,
        ]
        self.environment = target.environment()
        self.user = USERS[target.login]
        self.child = None

    def __enter__(self):
        self.child = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment)
        try:
            self._wait(lambda waiting: waiting == self.sessions)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        self._end()
        self._wait(lambda waiting: waiting == 0)

    def _end(self):
        self.child.terminate()
        self.child.wait(30)
        self.child.stderr.close()

    def _wait(self, condition):
        """Until the server says that as many sessions have run their statement as `condition` wants."""
        end = time.monotonic() + IDLE_WAIT_SECONDS_MAX
        while time.monotonic() < end:
            waiting = int(self.postgres.sql(
                f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{self.user}' AND state = 'idle' AND query LIKE 'SELECT 1%'"))
            if condition(waiting):
                return
            if self.child.poll() not in (None, -15):
                raise MeasureError(f"pgbench with {self.sessions} idle sessions:\n{self.child.stderr.read()[-2000:]}")
            time.sleep(0.2)
        raise MeasureError(f"{waiting} sessions are idle after {IDLE_WAIT_SECONDS_MAX} s; {self.sessions} were opened")


def summarize(rounds):
    """Of each figure the median over the rounds, the smallest and the largest."""
    summary = {}
    for figure in rounds[0]:
        values = [row[figure] for row in rounds if row[figure] is not None]
        summary[figure] = statistics.median(values) if values else None
        summary[f"{figure}_range"] = [min(values), max(values)] if values else None
    return summary


def ratio(rounds, reference, figure):
    """This round's figure against the reference's in the same round: the median, and the range."""
    quotients = [
        mine[figure] / theirs[figure]
        for mine, theirs in zip(rounds, reference)
        if mine[figure] is not None and theirs[figure]
    ]
    if not quotients:
        return None, None
    return statistics.median(quotients), [min(quotients), max(quotients)]
