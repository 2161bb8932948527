"""Computes the golden vectors again, without a line of Pli: hashlib, uuid, cbor2, jsonschema.

    python3 -m venv venv && venv/bin/pip install cbor2==6.3.0 jsonschema==4.26.0
    venv/bin/python schemas/vectors/judge.py

Prints what differs, and how much was compared; ends with 1 if anything differs.
"""

import hashlib
import io
import json
import pathlib
import sys
import uuid
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timedelta, timezone

import cbor2
import jsonschema

HERE = pathlib.Path(__file__).resolve().parent
counted = differing = 0


def same(what, found, expected):
    global counted, differing
    counted += 1
    if found != expected:
        differing += 1
        print(f"{what}: {found!r}, not {expected!r}")


def vectors(name):
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def luhn(digits):
    total = 0
    for place, digit in enumerate(int(d) for d in reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def registered(number):
    la_poste = len(number) == 14 and number[:9] == "356000000"
    return luhn(number) or (la_poste and sum(map(int, number)) % 5 == 0)


def identifiers():
    numbers = vectors("identifiers.json")
    for kind, length in (("siren", 9), ("siret", 14)):
        for case in numbers[kind]["valid"]:
            same(case["value"], registered(case["value"]), True)
        for case in numbers[kind]["invalid"]:
            text = case["value"]
            shape = len(text) == length and text.isascii() and text.isdigit()
            same(text, "check-digit" if shape else "shape", case["error"])
            same(text, shape and registered(text), False)


def derived():
    ids = vectors("derived-ids.json")
    space = uuid.uuid5(uuid.NAMESPACE_URL, "urn:pli:v1")
    same("namespace", str(space), ids["namespace"])
    for case in ids["deliveries"]:
        name = f"delivery/{case['message']}/{case['recipient_index']}"
        same(name, (name, str(uuid.uuid5(space, name))), (case["name"], case["id"]))
    for case in ids["evidence"]:
        index = "-" if case["recipient_index"] is None else case["recipient_index"]
        parts = (case["issuer"], case["message"], index, case["event"], case["hop"])
        name = "/".join(("evidence", *map(str, parts)))
        same(name, (name, str(uuid.uuid5(space, name))), (case["name"], case["id"]))


def diagnostic(item):
    if isinstance(item, dict):
        return "{" + ", ".join(f'"{k}": {diagnostic(v)}' for k, v in item.items()) + "}"
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(map(diagnostic, item)) + "]"
    return f"h'{item.hex()}'" if isinstance(item, bytes) else str(item)


def frames():
    cases = vectors("frames.json")
    for case in cases["valid"]:
        item = cbor2.loads(bytes.fromhex(case["hex"]))
        same(case["what"], diagnostic(item), case["diagnostic"])
        same(case["what"], cbor2.dumps(item).hex(), case["hex"])
    for case in cases["also_read"]:
        item, other = (cbor2.loads(bytes.fromhex(case[k])) for k in ("hex", "as"))
        absent = {"dispatch": ["inline"], "recollection": ["inline", "evidence"]}
        empty = {key: [] for key in absent.get(case["type"], [])}
        same(case["why"], {**empty, **item}, other)


def digests():
    listed = vectors("digests.json")["sha256"]
    same("files", sorted(listed), sorted(f.name for f in (HERE / "sealed").iterdir()))
    for name, digest in listed.items():
        same(name, hashlib.sha256((HERE / "sealed" / name).read_bytes()).hexdigest(), digest)


def xml():
    """What stands in the XML stands in the JSON: the texts, in the order of the document."""
    space = "{http://uri.etsi.org/19522/v1#}"
    for file in sorted((HERE / "sealed").glob("*.xml")):
        said = json.loads(file.with_suffix(".json").read_bytes())
        root = ElementTree.parse(io.BytesIO(file.read_bytes())).getroot()
        same(file.name, (root.tag, root.get("version")), (space + "Evidence", said["version"]))
        for key in ("EvidenceIdentifier", "ERDSEventId", "MessageIdentifier"):
            same(f"{file.name} {key}", root.findtext(space + key), said[key])
        same(f"{file.name} EventTime", root.findtext("EventTime"), said["EventTime"])
        codes = [code.text for code in root.iter("Code")]
        reasons = said.get("EventReasons", {"EventReason": []})["EventReason"]
        same(f"{file.name} reasons", codes, [reason["Code"] for reason in reasons])


def times():
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for case in vectors("times.json")["valid"]:
        if sys.version_info < (3, 11):
            continue
        read = datetime.fromisoformat(case["text"])
        same(case["text"], (read - epoch) // timedelta(milliseconds=1), case["millis"])


def parties():
    envelope = json.loads((HERE.parent / "json" / "envelope.json").read_text(encoding="utf-8"))
    schema = jsonschema.Draft202012Validator(envelope["$defs"]["Party"])
    cases = vectors("parties.json")
    for case in cases["valid"]:
        same(case["key"], schema.is_valid(case["party"]), True)
    for case in cases["invalid"]:
        same(case["why"], schema.is_valid(case["party"]), case["schema"] == "accepts")


def sealed():
    for file in sorted((HERE / "sealed").glob("*.json")):
        kind = "evidence" if file.name.startswith("evidence-") else file.stem
        schema = json.loads((HERE.parent / "json" / f"{kind}.json").read_text(encoding="utf-8"))
        errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(file.read_bytes()))
        same(file.name, [e.message for e in errors], [])


for judge in (identifiers, derived, frames, digests, xml, times, parties, sealed):
    judge()
print(f"{counted} compared, {differing} differ")
sys.exit(differing != 0)
