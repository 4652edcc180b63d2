"""Turns the figures of a run into a table for the terminal, report.json and report.html."""

import glob
import html
import json
import os

COLUMNS = (
    # heading, key, decimals
    ("tps", "tps", 0),
    ("of direct", "tps_to_direct", 2),
    ("of PgBouncer", "tps_to_pgbouncer", 2),
    ("mean ms", "latency_ms", 3),
    ("p99 ms", "latency_p99_ms", 2),
    ("proxy us/tx", "proxy_cpu_us", 1),
    ("of PgBouncer's", "proxy_cpu_us_to_pgbouncer", 2),
    ("server us/tx", "server_cpu_us", 1),
)
PROXY_TARGETS = ("sealgate", "sealgate+policy")


def _show(value, decimals):
    return "-" if value is None else f"{value:.{decimals}f}"


def _clients(count):
    return "1 client" if count == 1 else f"{count} clients"


def _find(results, **wanted):
    for entry in results:
        if all(entry[key] == value for key, value in wanted.items()):
            return entry
    return None


def aims(results):
    """What the design aims at, and whether this run held it; a statement needs its figures to be there."""
    found = []
    for entry in results:
        clients = entry["clients"]
        where = {"clients": clients, "target": entry["target"]}
        if entry["workload"] == "untouched" and entry["target"] in PROXY_TARGETS:
            share = entry["proxy_cpu_us_to_pgbouncer"]
            if share is not None:
                found.append({
                    "aim": "less processor time than PgBouncer where nothing is classified", **where,
                    "figure": share, "limit": 1.0, "held": share < 1.0,
                })
        if entry["workload"] == "sealed" and entry["target"] == "sealgate+policy":
            direct = _find(results, workload="sealed", clients=clients, target="direct")
            base = _find(results, workload="untouched", clients=clients, target="sealgate+policy")
            if direct and base and direct["server_cpu_us"]:
                share = (entry["proxy_cpu_us"] - base["proxy_cpu_us"]) / direct["server_cpu_us"]
                found.append({
                    "aim": "sealing, deciding and recording cost less than a tenth of the server's own time", **where,
                    "figure": share, "limit": 0.1, "held": share < 0.1,
                })
    return found


def table(whole):
    """The figures as plain text."""
    headings = ["workload", "clients", "target"] + [heading for heading, _, _ in COLUMNS]
    rows = [
        [entry["workload"], str(entry["clients"]), entry["target"]]
        + [_show(entry[key], decimals) for _, key, decimals in COLUMNS]
        for entry in whole["results"]
    ]
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    previous = None
    for row in [headings, *rows]:
        if previous is not None and row[:2] != previous:
            lines.append("")
        previous = row[:2]
        lines.append("  ".join(
            cell.ljust(width) if i in (0, 2) else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip())
    lines.append("")
    for aim in whole["aims"]:
        word = "held" if aim["held"] else "MISSED"
        lines.append(f"{word}: {aim['aim']} ({aim['target']}, {_clients(aim['clients'])}): "
                     f"{aim['figure']:.2f} against {aim['limit']:.2f}")
    for entry in whole["criterion"]:
        lines.append(f"stage {entry['name']}: {_time(entry['mean_ns'])}")
    return "\n".join(lines)


def _time(nanoseconds):
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


def write(whole, folder, criterion_folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "report.json"), "w") as out:
        json.dump(whole, out, indent=2)
        out.write("\n")
    link = os.path.join(criterion_folder, "report", "index.html")
    link = os.path.relpath(link, folder) if os.path.exists(link) else None
    with open(os.path.join(folder, "report.html"), "w") as out:
        out.write(page(whole, link))


STYLE = """
:root { color-scheme: light dark; --line: #8884; --direct: #8a8f98; --pgbouncer: #d08a2e; --sealgate: #2f7d5d; --policy: #3a6ea5 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; white-space: nowrap }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left }
.wide { overflow-x: auto }
.charts { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)) }
.bar { align-items: center; display: grid; gap: .5rem; grid-template-columns: 8.5rem 1fr 4rem; margin: 2px 0 }
.bar i { border-radius: 2px; display: block; height: .9rem; min-width: 1px }
.bar b { font-variant-numeric: tabular-nums; font-weight: normal }
.charts { margin-bottom: 1.2rem } .clients { margin: .6rem 0 0 }
.held { color: #2f7d5d } .missed { color: #c0392b; font-weight: 600 }
dl { display: grid; gap: 0 1rem; grid-template-columns: max-content 1fr } dd { margin: 0 }
"""
COLOURS = {"direct": "direct", "pgbouncer": "pgbouncer", "sealgate": "sealgate", "sealgate+policy": "policy"}


def page(whole, criterion_link):
    """The whole report as one page that loads nothing from anywhere."""
    escape = html.escape
    machine, settings = whole["machine"], whole["settings"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Sealgate benchmark</title><style>{STYLE}</style><h1>Sealgate against a direct connection and PgBouncer</h1>",
        f"<p>{settings['rounds']} rounds of {settings['seconds']} s each, targets taking turns; medians over the rounds. "
        "Ratios compare turns of the same round. <em>sealgate</em> runs without classified fields, "
        f"<em>sealgate+policy</em> with one column sealed ({escape(settings['seal'])}).</p>",
    ]
    for workload, about in whole["workloads"].items():
        entries = [entry for entry in whole["results"] if entry["workload"] == workload]
        if entries:
            parts.append(f"<h2>{escape(workload)}</h2><p>{escape(about)}</p>")
            parts += _charts(entries)
            parts.append(_html_table(entries))
    if whole["aims"]:
        parts.append("<h2>Aims</h2><ul>")
        for aim in whole["aims"]:
            word = "held" if aim["held"] else "missed"
            parts.append(f"<li><span class={word}>{word}</span>: {escape(aim['aim'])} ({escape(aim['target'])}, "
                         f"{_clients(aim['clients'])}): {aim['figure']:.2f} against {aim['limit']:.2f}")
        parts.append("</ul>")
    if whole["criterion"]:
        parts.append("<h2>Single stages</h2><div class=wide><table><tr><th>stage<th><th>mean<th>low<th>high")
        for entry in whole["criterion"]:
            parts.append(f"<tr><td>{escape(entry['name'])}<td><td>{_time(entry['mean_ns'])}"
                         f"<td>{_time(entry['low_ns'])}<td>{_time(entry['high_ns'])}")
        parts.append("</table></div>")
        if criterion_link:
            parts.append(f"<p><a href='{escape(criterion_link, quote=True)}'>Criterion's own report</a></p>")
    parts.append("<h2>Machine</h2><dl>")
    for key, value in machine.items():
        parts.append(f"<dt>{escape(key.replace('_', ' '))}<dd>{escape(str(value))}")
    parts.append("</dl></html>\n")
    return "\n".join(parts)


def _charts(entries):
    parts = ["<div class=charts>"]
    charts = (("tps", "Transactions a second (more is better)", 0),
              ("proxy_cpu_us", "Processor time of the proxy, microseconds a transaction (less is better)", 1))
    for key, title, decimals in charts:
        parts.append(f"<section><h3>{html.escape(title)}</h3>")
        for clients in dict.fromkeys(entry["clients"] for entry in entries):
            group = [entry for entry in entries if entry["clients"] == clients and entry[key] is not None]
            largest = max((entry[key] for entry in group), default=0) or 1
            parts.append(f"<p class=clients>{_clients(clients)}</p>")
            for entry in group:
                colour = COLOURS[entry["target"]]
                parts.append(
                    f"<div class=bar><span>{html.escape(entry['target'])}</span><i style='width:{entry[key] / largest * 100:.1f}%;"
                    f"background:var(--{colour})'></i><b>{_show(entry[key], decimals)}</b></div>"
                )
        parts.append("</section>")
    parts.append("</div>")
    return parts


def _html_table(entries):
    heads = "".join(f"<th>{html.escape(heading)}" for heading, _, _ in COLUMNS)
    parts = [f"<div class=wide><table><tr><th>clients<th>target{heads}"]
    for entry in entries:
        cells = "".join(f"<td>{_show(entry[key], decimals)}" for _, key, decimals in COLUMNS)
        parts.append(f"<tr><td>{entry['clients']}<td>{html.escape(entry['target'])}{cells}")
    parts.append("</table></div>")
    return "\n".join(parts)
