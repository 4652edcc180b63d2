"""What the programs on sealed models share in Python: the people that they keep, and a transcript in JSON."""

import json
import os
import sys
import traceback

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "people.json"), encoding="utf-8") as file:
    PEOPLE = json.load(file)
MEMBERS, LOANS = PEOPLE["members"], PEOPLE["loans"]
ADA, BOB, CHLOE, DORA, EVE = (member["email"] for member in MEMBERS)
CHANGED, UPSERTED, GONE = PEOPLE["changed"], PEOPLE["upserted"], PEOPLE["gone"]
MANY = [{"email": f"many.{n}@sentinel.example", "phone": f"+44 20 7946 1{n:03}", "note": f"sentinel note: many {n}", "city": "Many", "visits": 100 + n}
        for n in range(60)]


def say(step, *values):
    print(f"{step}: {json.dumps(values, ensure_ascii=False, default=list)}", flush=True)


def refused(what, ask, state):
    """What is answered directly and refused on sealed columns. `state`: the SQLSTATE of an error, or None."""
    try:
        ask()
    except Exception as error:
        if state(error) is None:
            raise
        print(f"refused: {what}: {state(error)}", flush=True)
    else:
        print(f"refused: {what}: answered", flush=True)


def run(*parts):
    """Runs the parts in order; ends with `done`."""
    for part in parts:
        try:
            part()
        except Exception:
            traceback.print_exc()
            sys.exit(f"failed in {part.__name__}")
    print("done")
