#!/usr/bin/env python3
"""Verifies a folder of records without Sealgate, after docs/RECORD.md alone.

Needs the packages `cryptography` and `zstandard`.

    verify.py [--key PUBLIC]... [--checkpoints FILE]... [--first N] FOLDER...

prints one line for each FOLDER: `intact`, with the records behind it whose executions (`61`) or leases (`lease 61`) have
no end, or what is wrong first. Exit: 0 all are intact, 3 one is not.
"""

import argparse, base64, hashlib, json, os, re, sys

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SEGMENT = re.compile(r"audit-.*-(\d+)\.jsonl(\.zst)?")
HASH, PREV = re.compile(rb'(.*),"hash":"([0-9a-f]{8})"}', re.S), re.compile(rb'.*,"prev":"([0-9a-f]{64})"', re.S)
SIGNED = re.compile("((?:.+\n)+)\n((?:\u2014 .+\n)+)")


# Numbers of a segment: how many of them may be named, and the member that stands where one is told.
NUMBERS = {"who": (4096, "session"), "plan": (1024, "action"), "list": (64, "fields")}
# What they stand for beside it: where a number is only named, none of these stands.
BESIDE = {
    "who": "node user application client region auth certificate database end_user end_user_auth purpose".split(),
    "plan": "fields attribution fingerprint statement verdict rule".split(),
    "list": [],
}


class Bad(Exception):
    pass


def lines(path):
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) if path.endswith(".zst") else file
        text = reader.read()
    *whole, torn = text.split(b"\n")
    return whole, torn.strip(b"\0")


def notes(text):
    for word in re.findall(r"(?:^|[ \"])note=([A-Za-z0-9+/=]+)", text, re.M):
        text += "\n" + base64.b64decode(word).decode()
    return SIGNED.findall(text)


def signed(text, keys):
    """Size and link of each checkpoint that one of the keys signed."""
    for body, signatures in notes(text):
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ", 2)
            blob, key = base64.b64decode(encoded), keys.get(name)
            if key is None or blob[:4] != hashlib.sha256(name.encode() + b"\n\1" + key).digest()[:4]:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(blob[4:], body.encode())
            except InvalidSignature:
                raise Bad("a checkpoint's signature does not hold")
            origin, size, root, *_ = body.split("\n")
            if origin == name:
                yield int(size), base64.b64decode(root)


def named(record, told):
    """Whose session a record is of; `told` is what its segment has told before it, by kind and number."""
    session = record.get("session")
    known = [*NUMBERS, *(sign for _, sign in NUMBERS.values()), *(name for names in BESIDE.values() for name in names)]
    if any(name in record and record[name] is None for name in known):
        raise Bad("null in the place of a value")
    for kind, (most, sign) in NUMBERS.items():
        number, before = record.get(kind), told[kind]
        if number is None:
            continue
        if type(number) is not int or not (number == len(before) + 1 if sign in record else max(0, len(before) - most) < number <= len(before)):
            raise Bad(f"{kind} {number} is not told before, or out of turn")
        if sign in record:
            before[number] = record[sign]
        elif any(name in record and (name != "fields" or "list" not in record) for name in BESIDE[kind]):
            raise Bad(f"{kind} {number} has something else beside it")
        elif kind == "who":
            session = before[number]
    return session


def follow(record, session, is_open):
    """Keeps what has begun and not ended, by session, statement and whether it is the lease of its intent."""
    statement, lease = record.get("statement_id"), record.get("lease")
    if session is None or statement is None:
        return
    if record["kind"] == "intent":
        for is_lease in (False, True) if isinstance(lease, dict) else (False,):
            is_open[session, statement, is_lease] = record["seq"]
    elif record["kind"] == "outcome" and not record.get("partial"):
        is_open.pop((session, statement, False), None)
        if isinstance(lease, int) and record.get("executions") is not None:
            is_open.pop((session, lease, True), None)


def verify(folder, keys, external, first):
    is_open = {}
    names = [name for name in os.listdir(folder) if SEGMENT.fullmatch(name)]
    names = [name for name in names if not (name.endswith(".zst") and twin(folder, name))]
    names.sort(key=lambda name: (int(SEGMENT.fullmatch(name)[1]), name))
    links, link, seq = {}, bytes(32), first - 1
    for name in names:
        whole, torn = lines(os.path.join(folder, name))
        if torn and name != names[-1]:
            raise Bad(f"{name}: torn")
        told = {kind: {} for kind in NUMBERS}
        for number, line in enumerate(whole):
            where = f"{name}:{number + 1}"
            try:
                record = json.loads(line)
                own = record["seq"]
            except (ValueError, KeyError, TypeError):
                raise Bad(f"{where}: no record")
            if number == 0 and own != int(SEGMENT.fullmatch(name)[1]):
                raise Bad(f"{where}: not the record of its name")
            if own != seq + 1 and not (seq == first - 1 and own <= first):
                raise Bad(f"{where}: record {own} behind {seq}")
            parts = HASH.fullmatch(line)
            if not parts and links:
                raise Bad(f"{where}: not chained")
            if parts:
                prev = number == 0 and PREV.fullmatch(parts[1])
                if not prev and (number == 0 or not links):
                    raise Bad(f"{where}: no prev")
                if prev:
                    prev = bytes.fromhex(prev[1].decode())
                    if seq == first - 1 and own > 1 and any(prev):  # what is before was moved away
                        link = links[own - 1] = prev
                    elif seq == first - 1 and own > 1 or prev != link:
                        raise Bad(f"{where}: not behind the record before it")
                link = hashlib.sha256(link + parts[1]).digest()
                if link.hex()[:8] != parts[2].decode():
                    raise Bad(f"{where}: not what was written")
                links[own] = link
            try:
                follow(record, named(record, told), is_open)
            except Bad as fault:
                raise Bad(f"{where}: {fault}")
            seq = own
    if keys:
        own = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".notes")]
        found = [list(signed(open(file, encoding="utf-8", errors="replace").read(), keys)) for file in external + own]
        if not all(found[: len(external)]) or (links and not any(found)):
            raise Bad("no checkpoint")
        for size, root in sorted(sum(found, [])):
            if size > seq or (size >= min(links, default=1) and links.get(size) != root):
                raise Bad(f"not what the checkpoint of record {size} covers")
    return [("lease " if is_lease else "") + str(seq) for seq, is_lease in sorted((seq, key[2]) for key, seq in is_open.items())]


def twin(folder, name):
    plain = os.path.join(folder, name[:-4])
    if not os.path.exists(plain):
        return False
    if lines(plain) != lines(os.path.join(folder, name)):
        raise Bad(f"{name}: not what its twin holds")
    return True


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--key", action="append", default=[])
    options.add_argument("--checkpoints", action="append", default=[])
    options.add_argument("--first", type=int, default=1)
    options.add_argument("folders", nargs="+")
    asked = options.parse_args()
    keys = {}
    for key in asked.key:
        name, _, encoded = key.split("+", 2)
        keys[name] = base64.b64decode(encoded)[1:]
    bad = False
    for folder in asked.folders:
        try:
            is_open = verify(folder, keys, asked.checkpoints, asked.first)
            print("intact, open: " + ", ".join(is_open) if is_open else "intact")
        except (Bad, zstandard.ZstdError) as fault:
            bad = True
            print(fault)
    sys.exit(3 if bad else 0)


if __name__ == "__main__":
    main()
