"""Checks answers against botocore's own model of TwinMaker's API.

Reads lines of "<shape> <JSON>", and prints what is wrong with each, one line a
finding. botocore's response parser reads leniently, so the shapes are checked
as strictly as what a client sends is: with ParamValidator, and by refusing
members that the model does not have.
"""
import datetime
import json
import re
import sys

import botocore.session
import botocore.validate


def unknown(shape, value, path):
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, member in value.items():
            if key not in shape.members:
                yield f"{path}.{key}: the model has no such member"
            else:
                yield from unknown(shape.members[key], member, f"{path}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for i, member in enumerate(value):
            yield from unknown(shape.member, member, f"{path}[{i}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, member in value.items():
            yield from unknown(shape.value, member, f"{path}[{key!r}]")
    elif shape.type_name == "integer" and not -(2**31) <= value < 2**31:
        yield f"{path}: {value} does not fit 32 bits"
    elif shape.type_name == "string":
        if len(value) > shape.metadata.get("max", 1 << 30):
            yield f"{path}: {len(value)} characters are too many"
        if shape.name == "Time":
            try:
                datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00"))
            except ValueError as e:
                yield f"{path}: {e}"


def once(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key comes twice in {keys}")
    return dict(pairs)


model = botocore.session.get_session().get_service_model("iottwinmaker")
for number, line in enumerate(sys.stdin, 1):
    name, _, text = line.partition(" ")
    shape = model.shape_for(name)
    value = json.loads(text, object_pairs_hook=once)
    report = botocore.validate.ParamValidator().validate(value, shape)
    for finding in [report.generate_report()] if report.has_errors() else []:
        print(f"line {number}: {finding}")
    for finding in unknown(shape, value, name):
        print(f"line {number}: {finding}")
    print(f"line {number} read")
