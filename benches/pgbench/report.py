"""What the figures of a run say: which columns they have, which aims they hold, a table for the terminal."""

import glob
import json
import os

RATE, DIRECT, BOUNCER = "tps", "tps_to_direct", "tps_to_pgbouncer"
CPU, CPU_RATIO = "proxy_cpu_us", "proxy_cpu_us_to_pgbouncer"
_LATENCY = (("p50 ms", "latency_p50_ms", 3), ("p99 ms", "latency_p99_ms", 2), ("p99 of PgBouncer's", "latency_p99_ms_to_pgbouncer", 2))
_SHARES = (("of direct", DIRECT, 2), ("of PgBouncer", BOUNCER, 2))
_PROCESSOR = (("proxy us", CPU, 1), ("of PgBouncer's", CPU_RATIO, 2), ("server us", "server_cpu_us", 1))
_LOAD = (("a second", RATE, 0), *_SHARES, *_LATENCY, *_PROCESSOR)

# By family: heading, key, decimals.
COLUMNS = {
    "statements": _LOAD,
    "classified": _LOAD,
    "classified-bulk": (("a second", RATE, 2), *_SHARES, *_LATENCY, *_PROCESSOR),
    "bulk": (("a second", RATE, 1), ("MB/s", "mb_per_second", 0), *_SHARES, *_LATENCY, *_PROCESSOR),
    "connections": (("a second", RATE, 0), *_SHARES, ("mean ms", "latency_ms", 2), *_PROCESSOR),
    "idle": (("KiB each", "rss_kib", 1), ("of PgBouncer's", "rss_kib_to_pgbouncer", 2), ("proportional KiB", "pss_kib", 1),
             ("whole process MiB", "process_mib", 1)),
}
OURS = ("sealgate", "sealgate+policy")
IDLE_KIB_MAX = 24
# Of a sealed row read by key, by clients: the least of PgBouncer's throughput, and the most of its processor time.
SEALED_LEAST = {
    1: {"sealgate+os": 0.6, "sealgate+lease": 0.6},
    64: {"sealgate+os": 0.9, "sealgate+lease": 0.9, "sealgate+policy": 0.7},
}
SEALED_CPU_MOST = {64: {"sealgate+os": 1.5, "sealgate+lease": 1.5}}
SCAN_LEAST = 0.85
COPY_LEAST = {"copy-sealed-out": 0.8, "copy-sealed-in": 0.7}


def show(value, decimals):
    """Large figures want no decimals."""
    decimals = decimals if value is None or abs(value) < 1000 else 0
    return "-" if value is None else f"{value:,.{decimals}f}"


def spread(entry, key):
    """Half the range over the rounds, as a share of the median: '±4%'."""
    limits = entry.get(f"{key}_range")
    if not limits or not entry[key] or limits[0] == limits[1]:
        return ""
    return f"±{(limits[1] - limits[0]) / 2 / entry[key] * 100:.0f}%"


def many(count, family):
    noun = "session" if family == "idle" else "client"
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _find(results, **wanted):
    for entry in results:
        if all(entry[key] == value for key, value in wanted.items()):
            return entry
    return None


def aims(results):
    """What the design aims at, and whether this run held it; a statement needs its figures to be there."""
    found = []

    def aim(text, entry, figure, limit, held):
        where = {key: entry[key] for key in ("workload", "channel", "login", "clients", "target")}
        found.append({"aim": text, **where, "figure": figure, "limit": limit, "held": held(figure, limit)})

    at_most, at_least = (lambda figure, limit: figure <= limit), (lambda figure, limit: figure >= limit)
    for entry in results:
        least = SEALED_LEAST.get(entry["clients"], {}).get(entry["target"]) if entry["workload"] == "sealed" else None
        most = SEALED_CPU_MOST.get(entry["clients"], {}).get(entry["target"]) if entry["workload"] == "sealed" else None
        if least and entry[BOUNCER] is not None:
            aim("a sealed row by key at this share of PgBouncer's rate", entry, entry[BOUNCER], least, at_least)
        if most and entry[CPU_RATIO] is not None:
            aim("a sealed row by key within this share of PgBouncer's processor time", entry, entry[CPU_RATIO], most, at_most)
        if entry["workload"] == "sealed-scan" and entry["target"] in ("sealgate+os", *OURS):
            aim("a scan of sealed rows at this share of a direct one of the same rows", entry, entry[DIRECT], SCAN_LEAST, at_least)
        least = COPY_LEAST.get(entry["workload"]) if entry["target"] in OURS else None
        if least and entry[DIRECT] is not None:
            aim("COPY of sealed rows at this share of a direct one of the same rows", entry, entry[DIRECT], least, at_least)
        if entry["target"] not in OURS:
            continue
        if entry["workload"] == "untouched" and entry[CPU_RATIO] is not None:
            aim("untouched traffic takes at most PgBouncer's processor time", entry, entry[CPU_RATIO], 1.0, at_most)
        if entry["workload"] == "connect" and entry["login"] == "scram" and entry[BOUNCER] is not None:
            aim("connections with SCRAM at PgBouncer's rate", entry, entry[BOUNCER], 1.0, at_least)
        if entry["workload"] == "idle":
            aim(f"at most {IDLE_KIB_MAX} KiB for an idle session", entry, entry["rss_kib"], IDLE_KIB_MAX, at_most)
        if entry["workload"] == "sealed":
            same = {"channel": entry["channel"], "clients": entry["clients"]}
            direct = _find(results, workload="sealed", target="direct", **same)
            base = _find(results, workload="untouched", target="sealgate+policy", **same)
            if direct and base and direct["server_cpu_us"]:
                share = (entry[CPU] - base[CPU]) / direct["server_cpu_us"]
                aim("sealing, deciding and recording take less than a tenth of the server's own processor time",
                    entry, share, 0.1, lambda figure, limit: figure < limit)
    return found


def groups(whole, family):
    """The entries of a family, by what is compared with each other: (workload, channel, login)."""
    found = {}
    for entry in whole["results"]:
        if whole["workloads"][entry["workload"]]["family"] == family:
            found.setdefault((entry["workload"], entry["channel"], entry["login"]), []).append(entry)
    return found


def table(whole):
    """The figures as plain text. Behind a throughput and a share of PgBouncer's stands its spread."""
    lines = []
    for family, columns in COLUMNS.items():
        rows = []
        for (workload, channel, login), entries in groups(whole, family).items():
            for entry in entries:
                cells = [f"{workload} {channel} {login}", str(entry["clients"]), entry["target"]]
                for _, key, decimals in columns:
                    cells.append(show(entry.get(key), decimals))
                    if key in (RATE, BOUNCER, CPU_RATIO):
                        cells.append(spread(entry, key))
                rows.append(cells)
        if not rows:
            continue
        headings = [whole["families"][family]["title"], "sessions" if family == "idle" else "clients", "target"]
        for heading, key, _ in columns:
            headings += [heading, ""] if key in (RATE, BOUNCER, CPU_RATIO) else [heading]
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
        previous = None
        for row in [headings, *rows]:
            if previous is not None and row[:2] != previous:
                lines.append("")
            previous = row[:2]
            lines.append("  ".join(
                cell.ljust(width) if i in (0, 2) else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
            ).rstrip())
        lines += ["", ""]
    for aim in whole["aims"]:
        word = "held  " if aim["held"] else "MISSED"
        lines.append(f"{word}  {aim['figure']:6.2f} against {aim['limit']:5.2f}  {aim['aim']} ({place(aim)})")
    if whole["criterion"]:
        lines.append("")
    for entry in whole["criterion"]:
        lines.append(f"stage {entry['name']}: {time(entry['mean_ns'])}")
    return "\n".join(lines)


def place(aim):
    family = "idle" if aim["workload"] == "idle" else None
    return f"{aim['target']}, {aim['channel']}, {aim['login']}, {many(aim['clients'], family)}"


def time(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.2f} {unit}"
    return f"{nanoseconds:.1f} ns"


def criterion_estimates(folder):
    """The mean of every Criterion benchmark that has left one under `folder`."""
    found = []
    for name in sorted(glob.glob(os.path.join(folder, "**", "new", "estimates.json"), recursive=True)):
        with open(name) as file:
            estimates = json.load(file)
        with open(os.path.join(os.path.dirname(name), "benchmark.json")) as file:
            title = json.load(file)["full_id"]
        mean = estimates["mean"]
        found.append({
            "name": title,
            "mean_ns": mean["point_estimate"],
            "low_ns": mean["confidence_interval"]["lower_bound"],
            "high_ns": mean["confidence_interval"]["upper_bound"],
        })
    return found
