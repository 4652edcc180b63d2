"""Writes a run down: report.json, and report.html, one page that loads nothing from anywhere."""

import html
import json
import os

import report

STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --dim: #6b7280; --line: #8883; --card: #8881; --good: #2f7d5d; --bad: #c0392b;
  --direct: #8a8f98; --pgbouncer: #d08a2e; --pool: #e3bd83; --sealgate: #2f7d5d; --policy: #3a6ea5; --relay: #7fb69c;
  --os: #6f5aa8; --lease: #a85a8f; --full: #8a6d3b; --before: #b0b0b0 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #9aa1ad; --good: #5dbb92; --bad: #ef7f71 } }
body { color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto 4rem; max-width: 76rem; padding: 0 1.2rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { border-bottom: 2px solid var(--line); font-size: 1.25rem; margin: 2.8rem 0 .4rem; padding-bottom: .2rem }
h3 { font-size: 1rem; margin: 1.6rem 0 0 } h3 + p { margin: 0 0 .4rem } p { max-width: 60rem }
h3 span { border: 1px solid var(--line); border-radius: 1em; color: var(--dim); font-size: .75rem; font-weight: normal; margin-left: .5rem; padding: .05rem .55rem }
.dim, small { color: var(--dim) } small { font-size: .75rem; margin-left: .3rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; width: 100% }
th { color: var(--dim); font-weight: normal; line-height: 1.2; max-width: 6.5rem; vertical-align: bottom } th, td { padding: .18rem .5rem; text-align: right } td { white-space: nowrap }
tr.first td { border-top: 1px solid var(--line) } td.text, th.text { text-align: left }
td.bar { min-width: 8rem; width: 16% } td.bar div { align-items: center; display: flex; gap: .45rem; justify-content: flex-end }
td.bar i { background: var(--c); border-radius: 2px; display: block; flex: none; height: .75rem; min-width: 1px; order: -1 }
td.bar div { justify-content: flex-start } td.name::before { background: var(--c); border-radius: 50%; content: ''; display: inline-block; height: .6rem; margin-right: .45rem; width: .6rem }
.wide { overflow-x: auto } .held { color: var(--good) } .missed { color: var(--bad); font-weight: 600 }
.good { color: var(--good) } .bad { color: var(--bad) }
dl { display: grid; gap: 0 1.2rem; grid-template-columns: max-content 1fr } dt { color: var(--dim) } dd { margin: 0 }
dl.targets dt { color: inherit } dl.targets dt::before { background: var(--c); border-radius: 50%; content: ''; display: inline-block; height: .6rem; margin-right: .45rem; width: .6rem }
"""
COLOURS = {"direct": "direct", "pgbouncer": "pgbouncer", "pgbouncer+pool": "pool", "sealgate": "sealgate",
           "sealgate+policy": "policy", "sealgate+relay": "relay", "sealgate+os": "os", "sealgate+lease": "lease",
           "sealgate+full": "full", "sealgate+before": "before"}
CHANNELS = {"plain": "plain", "tls": "TLS on both hops"}
LOGINS = {"trust": "trust", "scram": "SCRAM"}
BARS = (report.RATE, report.CPU, "rss_kib")  # where lengths are compared at a glance
SHARES_WANTED_LARGE = (report.DIRECT, report.BOUNCER)
escape = html.escape


def write(whole, folder, criterion_folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "report.json"), "w") as out:
        json.dump(whole, out, indent=2)
        out.write("\n")
    link = os.path.join(criterion_folder, "report", "index.html")
    link = os.path.relpath(link, folder) if os.path.exists(link) else None
    with open(os.path.join(folder, "report.html"), "w") as out:
        out.write(page(whole, link))


def page(whole, criterion_link):
    machine, settings = whole["machine"], whole["settings"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Sealgate benchmark</title><style>{STYLE}</style><h1>Sealgate against a direct connection and PgBouncer</h1>",
        f"<p class=dim>{escape(machine['time'])} · commit {escape(str(machine['commit']))} · PostgreSQL {escape(machine['postgres'])} · "
        f"{machine['cores']} cores</p>",
        f"<p>{settings['rounds']} round{'s' if settings['rounds'] > 1 else ''} of {settings['seconds']} s each, the targets taking turns; medians over the rounds, and "
        "behind some half the range over the rounds (±). Shares compare turns of the same round: <em>of direct</em> and <em>of "
        "PgBouncer</em> are of the throughput, <em>of PgBouncer's</em> of the figure to the left. Processor times are microseconds "
        "for one transaction.</p>",
        "<dl class=targets>",
    ]
    for name, about in whole["targets"].items():
        parts.append(f"<dt style='--c:var(--{COLOURS[name]})'>{escape(name)}<dd class=dim>{escape(about)}")
    parts.append("</dl>")
    parts += _aims(whole["aims"])
    for family, columns in report.COLUMNS.items():
        parts += _family(whole, family, columns)
    parts += _stages(whole["criterion"], criterion_link)
    parts.append("<h2>Machine</h2><dl>")
    for key, value in machine.items():
        parts.append(f"<dt>{escape(key.replace('_', ' '))}<dd>{escape(str(value))}")
    parts.append("</dl></html>\n")
    return "\n".join(parts)


def _aims(aims):
    if not aims:
        return []
    held = sum(aim["held"] for aim in aims)
    parts = [f"<h2>Aims: {held} of {len(aims)} held</h2><div class=wide><table>",
             "<tr><th class=text>aim<th class=text>target<th class=text>hops<th class=text>login<th>at a time<th>figure<th>limit<th class=text>"]
    previous = None
    for aim in aims:
        word = "held" if aim["held"] else "missed"
        title = aim["aim"] if aim["aim"] != previous else ""
        first = " class=first" if title else ""
        previous = aim["aim"]
        parts.append(f"<tr{first}><td class=text>{escape(title)}{_target(aim['target'])}<td class=text>{CHANNELS[aim['channel']]}"
                     f"<td class=text>{LOGINS[aim['login']]}<td>{aim['clients']:,}<td>{aim['figure']:.2f}<td>{aim['limit']:g}"
                     f"<td class='text {word}'>{word}")
    parts.append("</table></div>")
    return parts


def _target(name):
    return f"<td class='text name' style='--c:var(--{COLOURS[name]})'>{escape(name)}"


def _family(whole, family, columns):
    groups = report.groups(whole, family)
    if not groups:
        return []
    about = whole["families"][family]
    parts = [f"<h2>{escape(about['title'])}</h2><p>{escape(about['about'])}</p>"]
    for (workload, channel, login), entries in groups.items():
        parts.append(f"<h3>{escape(workload)}<span>{CHANNELS[channel]}</span><span>{LOGINS[login]}</span></h3>"
                     f"<p class=dim>{escape(whole['workloads'][workload]['about'])}</p>")
        parts.append(_table(entries, columns, "sessions" if family == "idle" else "clients"))
    return parts


def _table(entries, columns, unit):
    heads = "".join(f"<th{' class=text' if key in BARS else ''}>{escape(heading)}" for heading, key, _ in columns)
    parts = [f"<div class=wide><table><tr><th>{unit}<th class=text>target{heads}"]
    previous = None
    for entry in entries:
        peers = [other for other in entries if other["clients"] == entry["clients"]]
        first = entry["clients"] != previous
        previous = entry["clients"]
        cells = "".join(_cell(entry, peers, key, decimals) for _, key, decimals in columns)
        parts.append(f"<tr{' class=first' if first else ''}><td>{entry['clients'] if first else ''}{_target(entry['target'])}{cells}")
    parts.append("</table></div>")
    return "\n".join(parts)


def _cell(entry, peers, key, decimals):
    value, spread = entry.get(key), ""
    if key in (report.RATE, report.BOUNCER, report.CPU_RATIO):
        spread = report.spread(entry, key)
        spread = f"<small>{spread}</small>" if spread else ""
    shown = report.show(value, decimals)
    if key in BARS:
        if value is None:
            return "<td class='bar dim'><div>-</div>"
        largest = max(other[key] or 0 for other in peers) or 1
        return (f"<td class=bar><div><i style='--c:var(--{COLOURS[entry['target']]});width:{value / largest * 45:.1f}%'></i>"
                f"<span>{shown}{spread}</span></div>")
    if value is not None and entry["target"] in report.OURS and key.endswith("_to_pgbouncer"):
        better = value >= 1 if key in SHARES_WANTED_LARGE else value <= 1
        return f"<td><span class={'good' if better else 'bad'}>{shown}</span>{spread}"
    return f"<td>{shown}{spread}"


def _stages(stages, criterion_link):
    if not stages:
        return []
    parts = ["<h2>Single stages</h2><p>In processor time alone, without sockets (Criterion).</p><div class=wide><table>",
             "<tr><th class=text>stage<th>mean<th>low<th>high"]
    for entry in stages:
        parts.append(f"<tr class=first><td class=text>{escape(entry['name'])}<td>{report.time(entry['mean_ns'])}"
                     f"<td>{report.time(entry['low_ns'])}<td>{report.time(entry['high_ns'])}")
    parts.append("</table></div>")
    if criterion_link:
        parts.append(f"<p><a href='{escape(criterion_link, quote=True)}'>Criterion's own report</a></p>")
    return parts
