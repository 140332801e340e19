"""The two schemas, judged by ajv (https://ajv.js.org), which knows nothing of eelpipe.

recipe.schema.json and the program must agree on recipes: what is right, what is wrong by its form, and, so that nobody
expects too much of the schema, what only the program can find. result.schema.json must describe real results.
"""
import copy
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
from pipe import EELPIPE, eelpipe, run, simulate

ROOT = Path(__file__).resolve().parents[2]
# extendRefs: a keyword beside a $ref would be ignored in draft-07, so it is a mistake.
AJV = """
const task = JSON.parse(require("fs").readFileSync(0));
const ajv = new (require("ajv"))({extendRefs: "fail", schemaId: "auto"});
if (!ajv.validateSchema(task.schema)) throw new Error(ajv.errorsText());
const check = ajv.compile(task.schema);
console.log(JSON.stringify(task.instances.map(x => check(x) ? null : ajv.errorsText(check.errors))));
"""


def validate(schema, instances):
    """None for each instance that the schema accepts, else ajv's words."""
    node = shutil.which("nodejs") or shutil.which("node")
    paths = [p for p in (os.environ.get("NODE_PATH"), "/usr/share/nodejs") if p]
    env = dict(os.environ, NODE_PATH=os.pathsep.join(paths))
    done = node and subprocess.run([node, "-e", AJV], env=env, input=json.dumps({"schema": schema, "instances": instances}),
                                   capture_output=True, text=True, check=False)
    if not node or "Cannot find module 'ajv'" in done.stderr:
        raise unittest.SkipTest("ajv is not installed (Debian: node-ajv)")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def schema(name):
    return json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))


# ---- recipes ---------------------------------------------------------------------------------------------------------

ONE = "inputs: {o: data/o.hspy, ll: data/ll.hspy}\noutput: out\n"
SERIES = "inputs: {o: 'raw/{sample}/{temperature}C.hspy'}\noutput: out/{sample}/{temperature}\n"
DEGC = "coordinates: {temperature: degC}\n"
NET = "steps: {net: {stage: background, input: o, window: [480, 525]}}\n"
TOTAL = "steps: {n: {stage: integrate, input: o, window: [540, 560]}, "


def one(*steps):
    return ONE + "steps:\n" + "".join(f"  {s}\n" for s in steps)


RIGHT = {
    "least": ONE + NET,
    "units": one('a: {stage: integrate, input: o, window: ["0.53 keV", "560eV"], normalize: ["480", " 5.2e+2 eV "]}',
                 "b: {stage: align, input: ll, half_width: 2000 meV, max_shift: .1e2}"),
    "blanks of word processors": one('a: {stage: integrate, input: o, window: ["540\u00a0eV", "0.56\u202fkeV"]}'),
    "windows": one("a: {stage: background, input: o, window: [480, 525], method: two_area}",
                   "b: {stage: background, input: o, windows: [[470, 490], [600, 640]]}",
                   "c: {stage: background, input: o, window: [[470, 490]]}"),
    "record": one("a: {stage: background, input: o, window: [480, 525], average: {fwhm: 2 px}}"),
    "lists of one": one("a: {stage: integrate, input: [o], window: [540, 560]}", "b: {stage: rebin, input: [o], space: 2}",
                        "c: {stage: rebin, input: o, space: [2, 3], energy: 2.0}"),
    "null takes back": one("a: {stage: integrate, input: o, window: [540, 560], normalize: null}"),
    "keep": one("a: {stage: background, input: o, window: [480, 525], keep: true}",
                "b: {stage: background, input: o, window: [480, 525], keep: net}",
                "c: {stage: background, input: o, window: [480, 525], keep: [net, background]}",
                "d: {stage: integrate, input: o, window: [540, 560], keep: []}", "e: {stage: rebin, input: o, keep: false}"),
    "the step above": one("a: {stage: background, input: o, window: [480, 525]}", "b: {stage: integrate, window: [540, 560]}"),
    "outputs": one("a: {stage: background, input: o, window: [480, 525]}",
                   "b: {stage: integrate, input: a.net, window: [540, 560], normalize_by: a.exponent}"),
    "elements": "elements: [Li, O, N, Y]\n" + ONE + NET,
    "one element": "elements: O\n" + ONE + NET,
    "no overrides": "overrides: []\ncoordinates: {}\n" + ONE + NET,
    "numbers as names": ONE.replace("data/ll.hspy", "5").replace("output: out", "output: 2024") + NET,
    "inputs": """
inputs:
  ll: data/ll.hspy
  o: {path: data/o.hspy, pair: ll, counts_per_electron: 1.5, read_noise: 3 counts, energy_offset: -500 meV,
      beam_energy: 200000 eV, collection_angle: 0.04 rad, convergence_angle: 25, frame: a, signal: null,
      exclude: {rows: [0, 3], columns: 2, rectangles: [{rows: [1, 2], columns: [4, 5]}, {rows: [5, 5], columns: [0, 1 px]}]}}
output: out
""" + NET,
    "one rectangle": ONE.replace("o: data/o.hspy",
                                 "o: {path: data/o.hspy, exclude: {rectangles: {rows: [1, 2], columns: [4, 5]}}}") + NET,
    "series": SERIES + DEGC + TOTAL + """
  first: {stage: integrate, input: o, window: [540, 560], at: {temperature: min}},
  other: {stage: integrate, input: o, window: [540, 560], at: {temperature: [20, 400, max], sample: a}},
  sum: {stage: sum_spectrum, input: o}, counts: {stage: integrate, window: [540, 560]},
  t1: {stage: collect, input: counts, over: temperature}, t2: {stage: collect, input: [counts, n], over: [sample, temperature]},
  t3: {stage: collect, input: counts, over: [temperature, sample], repeat: sample, missing: allow}}
""",
    "overrides": SERIES + DEGC + """
overrides:
  - {when: {sample: a, temperature: 25}, set: {steps.net.window: [470, 520], inputs.o.energy_offset: -1.2 eV}, because: drift}
  - {when: {temperature: [25, "400 C"]}, set: {steps.net.average.fwhm: 2, inputs.o.exclude.rows: [1]}, because: 3}
""" + NET,
    "runs of a table": "runs: runs.csv\ninputs: {o: null, ll: {energy_offset: 1}}\noutput: out/{name}\n" + NET,
}

# Wrong by form: the schema and the program refuse them.
WRONG = {
    "no version": ("eelpipe: 1", ""), "another version": ("eelpipe: 1", "eelpipe: 2"), "version as text": ("eelpipe: 1", "eelpipe: '1'"),
    "no inputs": "output: out\n" + NET, "no output": "inputs: {o: data/o.hspy}\n" + NET, "no steps": ONE,
    "empty steps": ONE + "steps: {}\n", "steps in a list": ONE + "steps: [{stage: background}]\n",
    "unknown key": ONE + "outptu: x\n" + NET,
    "unknown stage": one("a: {stage: backgroud, input: o, window: [480, 525]}"),
    "no stage": one("a: {input: o, window: [480, 525]}"),
    "unknown parameter": one("a: {stage: background, input: o, windw: [480, 525]}"),
    "parameter of another stage": one("a: {stage: integrate, input: o, window: [540, 560], method: ml}"),
    "required parameter left out": one("a: {stage: integrate, input: o}"),
    "unknown word": one("a: {stage: background, input: o, window: [480, 525], method: maximum}"),
    "word is a list": one("a: {stage: background, input: o, window: [480, 525], method: [ml]}"),
    "number for a window": one("a: {stage: integrate, input: o, window: 540}"),
    "window of three": one("a: {stage: integrate, input: o, window: [540, 550, 560]}"),
    "window of names": one("a: {stage: integrate, input: o, window: [low, high]}"),
    "three windows": one("a: {stage: background, input: o, window: [[470, 480], [490, 500], [510, 520]]}"),
    "unit of another kind": one("a: {stage: integrate, input: o, window: [540 nm, 560 nm]}"),
    "unknown unit": one("a: {stage: integrate, input: o, window: [540 ev, 560 ev]}"),
    "decimal comma": one("a: {stage: align, input: ll, half_width: '1,5'}"),
    "out of range": one("a: {stage: align, input: ll, half_width: -1}"),
    "out of range in a list": one("a: {stage: background, input: o, window: [480, 525], method: lcpl, percentiles: [20, 180]}"),
    "too few items": one("a: {stage: background, input: o, window: [480, 525], method: lcpl, percentiles: [20]}"),
    "too many items": one("a: {stage: rebin, input: o, space: [1, 2, 3]}"),
    "no whole number": one("a: {stage: rebin, input: o, energy: 1.5}"),
    "null for a default": one("a: {stage: rebin, input: o, energy: null}"),
    "null for what is required": one("a: {stage: integrate, input: o, window: null}"),
    "record is a number": one("a: {stage: background, input: o, window: [480, 525], average: 3}"),
    "unknown member of a record": one("a: {stage: background, input: o, window: [480, 525], average: {fwhm: 3, sigma: 1}}"),
    "member of a record left out": one("a: {stage: background, input: o, window: [480, 525], average: {}}"),
    "two inputs for one": one("a: {stage: background, input: [o, ll], window: [480, 525]}"),
    "empty input": one("a: {stage: background, input: null, window: [480, 525]}"),
    "no inputs in a list": one("a: {stage: background, input: [], window: [480, 525]}"),
    "input is a mapping": one("a: {stage: background, input: {o: net}, window: [480, 525]}"),
    "name with a dash": one("a-b: {stage: background, input: o, window: [480, 525]}"),
    "step is a text": one("a: background"),
    "keep a map": one("a: {stage: background, input: o, window: [480, 525], keep: exponent}"),
    "keep yes": one("a: {stage: integrate, input: o, window: [540, 560], keep: yes}"),
    "not an element": "elements: [Li, Ox]\n" + ONE + NET, "element beyond uranium": "elements: [Np]\n" + ONE + NET,
    "elements in a mapping": "elements: {Li: 1}\n" + ONE + NET,
    "input without a path": ONE.replace("o: data/o.hspy", "o: {energy_offset: 1}") + NET,
    "null input": ONE.replace("o: data/o.hspy", "o: null") + NET,
    "unknown option of an input": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, gain: 2}") + NET,
    "gain of zero": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, counts_per_electron: 0}") + NET,
    "angle in eV": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, collection_angle: 40 eV}") + NET,
    "rectangle without columns": ONE.replace("o: data/o.hspy",
                                             "o: {path: data/o.hspy, exclude: {rectangles: [{rows: [1, 2]}]}}") + NET,
    "open placeholder": ONE.replace("data/o.hspy", "'data/{o.hspy'") + NET,
    "nameless placeholder": ONE.replace("data/o.hspy", "'data/{}.hspy'") + NET,
    "placeholders side by side": SERIES.replace("/{temperature}C", "{temperature}") + NET,
    "home folder": ONE.replace("output: out", "output: ~/out") + NET,
    "output in a list": ONE.replace("output: out", "output: [out]") + NET,
    "unit with a number": SERIES + "coordinates: {temperature: 3 K}\n" + NET,
    "frame without a name": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, frame: ''}") + NET,
    "unit is a number": SERIES + "coordinates: {temperature: 3}\n" + NET,
    "runs is a list": "runs: [runs.csv]\n" + ONE + NET,
    "over of a stage of single runs": SERIES + DEGC + "steps: {a: {stage: integrate, input: o, window: [540, 560], over: temperature}}\n",
    "repeat without over": SERIES + DEGC + TOTAL + "t: {stage: collect, input: n, repeat: sample}}\n",
    "over twice the same": SERIES + DEGC + TOTAL + "t: {stage: collect, input: n, over: [sample, sample]}}\n",
    "at is a word": SERIES + DEGC + "steps: {a: {stage: integrate, input: o, window: [540, 560], at: min}}\n",
    "at with no value": SERIES + DEGC + "steps: {a: {stage: integrate, input: o, window: [540, 560], at: {temperature: []}}}\n",
    "override without set": SERIES + DEGC + "overrides: [{when: {sample: a}}]\n" + NET,
    "override of a key": SERIES + DEGC + "overrides: [{when: {sample: a}, set: {steps.net.input: o}}]\n" + NET,
    "override of nothing": SERIES + DEGC + "overrides: [{when: {sample: a}, set: {steps.net: 3}}]\n" + NET,
    "override of a wrong type": SERIES + DEGC + "overrides: [{when: {sample: a}, set: {inputs.o.read_noise: [1]}}]\n" + NET,
    "overrides in a mapping": SERIES + DEGC + "overrides: {when: {sample: a}, set: {steps.net.window: [1, 2]}}\n" + NET,
}

# Wrong all the same, but a schema can't say why (schemas/README.md lists these classes).
BEYOND = {
    "cycle": one("a: {stage: background, input: b, window: [480, 525]}", "b: {stage: background, input: a, window: [480, 525]}"),
    "unknown step": one("a: {stage: background, input: nowhere, window: [480, 525]}"),
    "unknown output": one("a: {stage: background, input: o, window: [480, 525]}", "b: {stage: integrate, input: a.nett, window: [540, 560]}"),
    "name of an input": one("o: {stage: background, input: o, window: [480, 525]}"),
    "window backwards": one("a: {stage: integrate, input: o, window: [560, 540]}"),
    "window off the axis": one("a: {stage: integrate, input: o, window: [1540, 1560]}"),
    "text out of range": one("a: {stage: align, input: ll, half_width: 5 keV}"),
    "half a row": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, exclude: {rows: [0.5]}}") + NET,
    "no window at all": one("a: {stage: background, input: o}"),
    "kind of signal": one("a: {stage: background, input: o, window: [480, 525]}", "b: {stage: background, input: a.exponent, window: [480, 525]}"),
    "pair that is not there": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, pair: lo}") + NET,
    "pair is a number": ONE.replace("o: data/o.hspy", "o: {path: data/o.hspy, pair: 5}") + NET,
    "unknown coordinate": SERIES + DEGC + "steps: {a: {stage: integrate, input: o, window: [540, 560], at: {temp: min}}}\n",
    "parameter of a step's stage": SERIES + DEGC + "overrides: [{when: {sample: a}, set: {steps.net.missing: allow}}]\n" + NET,
}


@functools.cache
def made():
    """What the recipes above name, in a folder that lives as long as this process."""
    folder = tempfile.TemporaryDirectory()
    tmp = Path(folder.name)
    simulate("series", tmp / "series", "--pixels", "6,9", "--temperatures", "25,400")
    for sample, ours in (("ncm003", "a"), ("ncm104", "b")):
        for celsius in ("25C", "400C"):
            path = tmp / f"all/raw/{ours}/{celsius}.hspy"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(tmp / f"series/{sample}/{celsius}/o.hspy", path)
    (tmp / "all/data").mkdir()
    shutil.copy(tmp / "all/raw/a/25C.hspy", tmp / "all/data/o.hspy")
    for name in ("data/ll.hspy", "5"):
        shutil.copy(tmp / "series/ncm003/25C/ll.hspy", tmp / "all" / name)
    (tmp / "all/runs.csv").write_text("name,o,ll\nx,data/o.hspy,data/ll.hspy\n", encoding="utf-8")
    return folder


def files(tmp):
    shutil.copytree(Path(made().name) / "all", tmp, dirs_exist_ok=True)


def put(tmp, text):
    """The recipe as a file; the version stands above it, unless the text is a change of the least recipe."""
    whole = "eelpipe: 1\n" + (text if isinstance(text, str) else RIGHT["least"])
    path = tmp / "recipe.yaml"
    path.write_text(whole if isinstance(text, str) else whole.replace(*text), encoding="utf-8")
    return path


def verdicts(tmp, recipes):
    """[(name, what ajv says, exit code of check, what check says)]"""
    trees, said = [], []
    for text in recipes.values():
        path = put(tmp, text)
        trees.append(json.loads(eelpipe("schema", "--recipe", path).stdout))
        done = subprocess.run([EELPIPE, "check", path], capture_output=True, text=True, check=False)
        said.append((done.returncode, done.stderr))
    return [(name, ajv, *check) for name, ajv, check in zip(recipes, validate(schema("recipe.schema.json"), trees), said)]


def check_right_recipes(tmp):
    tmp = Path(tmp)
    files(tmp)
    assert len(RIGHT) >= 12
    for name, ajv, code, said in verdicts(tmp, RIGHT):
        assert ajv is None, f"{name}: the schema refuses it: {ajv}"
        assert code == 0, f"{name}: check ends with {code}: {said}"


def check_wrong_recipes(tmp):
    tmp = Path(tmp)
    files(tmp)
    assert len(WRONG) >= 20
    for name, ajv, code, said in verdicts(tmp, WRONG):
        assert ajv is not None, f"{name}: the schema accepts it"
        assert code == 2, f"{name}: check ends with {code}: {said}"


def check_mistakes_beyond_a_schema(tmp):
    tmp = Path(tmp)
    files(tmp)
    for name, ajv, code, said in verdicts(tmp, BEYOND):
        assert code == 2, f"{name}: check ends with {code}: {said}"
        assert ajv is None, f"{name}: the schema finds it after all ({ajv}): it belongs to WRONG"
    for text in ("steps: {a: {stage: rebin}, a: {stage: rebin}}\n", "base: &b {x: 1}\nsteps: {<<: *b}\n", "output: !path out\n"):
        eelpipe("schema", "--recipe", put(tmp, text), code=2)


def places(tree, path=()):
    """Every place in a tree of mappings and lists."""
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*path, key))


def changed(tree, path, value):
    """A copy with another value at the place; without the place if there is none."""
    new = copy.deepcopy(tree)
    at = new
    for key in path[:-1]:
        at = at[key]
    if value is None and path:
        del at[path[-1]]
    elif path:
        at[path[-1]] = json.loads(value)
    return new


VALUES = [None, "null", "true", "-1", "0.5", "\"word\"", "\"3 nm\"", "[]", "[1, 2]", "[[1, 2]]", "{}", "{\"odd\": 1}"]


def check_changed_recipes(tmp):
    """Right recipes with one value changed: what the schema refuses, the program refuses, or both accept."""
    tmp = Path(tmp)
    files(tmp)
    trees = []
    for name in ("windows", "record", "keep", "inputs", "series", "overrides"):
        tree = json.loads(eelpipe("schema", "--recipe", put(tmp, RIGHT[name])).stdout)
        whole = [changed(tree, p, v) for p, v in itertools.product(places(tree), VALUES)]
        # A fixed sample of them; all when there is time.
        trees += whole if os.environ.get("EELPIPE_TEST_LONG") else whole[::23]
    refused = [(t, ajv) for t, ajv in zip(trees, validate(schema("recipe.schema.json"), trees)) if ajv]
    assert len(refused) > 60
    for tree, ajv in refused:
        path = tmp / "recipe.yaml"
        path.write_text(json.dumps(tree), encoding="utf-8")
        done = subprocess.run([EELPIPE, "check", path], capture_output=True, text=True, check=False)
        assert done.returncode == 2, f"check ends with {done.returncode}, the schema says {ajv}: {json.dumps(tree)}"


ODD = [json.loads(v) for v in VALUES if v] + ["", [None], [{}], [""], 7, 1e9, "7 furlong", "1,5", [1, "2 nm", 3], [[1, 2], [3]], True]
# How the program says that a value has the wrong form. Other complaints are about what the value means.
FORM = re.compile(r"unknown key|: it needs |needs an? |needs a |is needed|out of range|is not known|as in \[|has no value|is empty|must be below")


def check_every_parameter(tmp):
    """Each parameter of each stage with values of every kind: at this place the program refuses what the schema refuses, and finds
    nothing wrong with the form of what the schema accepts."""
    tmp = Path(tmp)
    files(tmp)
    whole = schema("recipe.schema.json")
    steps = {name[6:]: body["properties"] for name, body in whole["definitions"].items() if re.fullmatch(r"stage_\w+", name)}
    cases = [(stage, name, value) for stage in steps for name in steps[stage] if name not in ("stage", "at", "over", "repeat") for value in ODD]
    assert len(cases) > 1000
    places = {f"{s}.{n}": {"$ref": f"#/definitions/stage_{s}/properties/{n}"} for s in steps for n in steps[s]}
    refused = validate({"definitions": whole["definitions"], "properties": places}, [{f"{s}.{n}": v} for s, n, v in cases])
    for first in range(0, len(cases), 20):
        some = list(zip(cases, refused))[first:first + 20]
        text = "".join(f"  s{i}:\n    stage: {s}\n    {n}: {json.dumps(v)}\n" for i, ((s, n, v), _) in enumerate(some))
        (tmp / "recipe.yaml").write_text("eelpipe: 1\n" + ONE + "steps:\n" + text, encoding="utf-8")
        said = subprocess.run([EELPIPE, "check", tmp / "recipe.yaml"], capture_output=True, text=True, check=False).stderr
        for i, (case, wrong) in enumerate(some):
            here = re.findall(rf"recipe\.yaml:{7 + 3 * i}:\d+: error: (.*)", said)
            # A schema has no ranges for texts with units.
            form = [m for m in here if FORM.search(m) and not (isinstance(case[2], str) and "out of range" in m)]
            assert here or wrong is None, f"{case}: the program accepts it, the schema says: {wrong}"
            assert wrong is not None or not form, f"{case}: the schema accepts it, the program says: {form}"


def check_units_and_elements(tmp):
    """Lists that the schema shares with the program: each unit of base/units.c, each chemical symbol."""
    tmp = Path(tmp)
    files(tmp)
    source = (ROOT / "pipeline/base/units.c").read_text(encoding="utf-8")
    known = re.findall(r'\{"([^"]*)", EP_DIM_(\w+),', source)
    assert len(known) > 20
    patterns = {name[3:]: re.compile(d["pattern"]) for name, d in schema("recipe.schema.json")["definitions"].items()
                if name.startswith("in_")}
    dimension = dict(known)
    for unit, pattern in patterns.items():
        for text, dim in known:
            text = re.sub(r"\\u(\w{4})", lambda m: chr(int(m.group(1), 16)), text)
            same = not text or text == unit or dim == dimension.get(unit)
            assert bool(pattern.search(f"5 {text}")) == same, f"5 {text} where {unit} is needed"
    symbols = schema("recipe.schema.json")["definitions"]["element"]["enum"]
    assert len(symbols) == 92 and symbols[0] == "H" and symbols[-1] == "U"
    eelpipe("check", put(tmp, f"elements: [{', '.join(symbols)}]\n" + RIGHT["least"]))


def check_recipes_that_are_shown():
    """config.yaml, and the whole recipe of README.md."""
    readme = re.findall(r"^```yaml\n((?:#.*\n)?eelpipe: 1\b.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    trees = [json.loads(eelpipe("schema", "--recipe", ROOT / "config.yaml").stdout)]
    for text in readme:
        trees.append(json.loads(run("/bin/sh", "-c", 'printf %s "$1" | "$2" schema --recipe /dev/stdin', "sh", text, EELPIPE).stdout))
    assert len(trees) > 1
    for ajv in validate(schema("recipe.schema.json"), trees):
        assert ajv is None, ajv


# ---- results ---------------------------------------------------------------------------------------------------------

TYPES = {"<f4": "float32", "<f8": "float64", "|i1": "int8", "<i2": "int16", "<i4": "int32", "<i8": "int64", "|u1": "uint8",
         "<u2": "uint16", "<u4": "uint32", "<u8": "uint64"}


def type_of(dtype):
    text = h5py.check_string_dtype(dtype)
    if text:
        return "text" if text.encoding == "utf-8" and text.length is None else f"text of {text}"
    if dtype == np.bool_:
        return "boolean"
    return TYPES.get(dtype.str, dtype.str)


def plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim < 2 else value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def attributes(obj):
    found = {}
    for name in obj.attrs:
        found["@" + name] = {type_of(obj.attrs.get_id(name).dtype): plain(obj.attrs[name])}
    return found


def filters(dataset):
    plist = dataset.id.get_create_plist()
    names = {h5py.h5z.FILTER_SHUFFLE: "shuffle", h5py.h5z.FILTER_DEFLATE: "deflate",
             h5py.h5z.FILTER_FLETCHER32: "fletcher32"}
    codes = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    return [names.get(code, str(code)) for code in codes]


def told(group, first):
    """A group as schemas/README.md says; first: where each dataset was met first."""
    tree = attributes(group)
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            tree[name] = told(item, first)
            continue
        address = h5py.h5o.get_info(item.id).addr
        if address in first:
            tree[name] = {"#link": first[address]}
            continue
        first[address] = item.name
        tree[name] = {"#type": type_of(item.dtype), "#shape": list(item.shape), "#filters": filters(item),
                      "#chunks": list(item.chunks) if item.chunks else None, **attributes(item)}
        if tree[name]["#type"] == "text" and not item.shape:
            value = tree[name]["#value"] = plain(item[()])
            if value[:1] in ("{", "["):
                tree[name]["#json"] = json.loads(value)
    return tree


def file_told(path):
    with h5py.File(path, "r") as f:
        # /entry is written first; told in this order a hard link is met after what it links to.
        first = {}
        return {**attributes(f), "entry": told(f["entry"], first),
                **{name: told(item, first) for name, item in f.items() if name != "entry"}}


def described(paths, least):
    paths = sorted(paths)
    assert len(paths) >= least, f"only {len(paths)} results"
    trees = [file_told(p) for p in paths]
    for path, ajv in zip(paths, validate(schema("result.schema.json"), trees)):
        assert ajv is None, f"{path.name}: {ajv}"
    return trees


def check_results_of_every_stage(tmp):
    tmp = Path(tmp)
    files(tmp)
    recipe = put(tmp, "elements: [O]\n" + SERIES.replace("inputs: {", "inputs: {ll: data/ll.hspy, ")
                 .replace("'raw", "{path: 'raw").replace(".hspy'}", ".hspy', pair: ll, exclude: {rows: [0]}}}") + DEGC + """
steps:
  part:   {stage: crop, input: o, energy: [440, 640], keep: true}
  small:  {stage: rebin, input: o, energy: 2, space: 3, keep: true}
  moved:  {stage: align, input: o, keep: true}
  net:    {stage: background, window: [480, 525], keep: [net, background]}
  power:  {stage: background, input: part, window: [480, 525], method: two_area}
  local:  {stage: background, input: o, window: [480, 525], average: {fwhm: 2}, keep: true}
  steep:  {stage: background, input: o, window: [480, 525], method: exponential, keep: true}
  two:    {stage: background, input: o, window: [[480, 500], [505, 525]], method: lcpl, keep: true}
  counts: {stage: integrate, input: net, window: [540, 560], normalize: [600, 620]}
  part_of_map: {stage: crop, input: counts, rows: [1, 4]}
  sum:    {stage: sum_spectrum, input: o}
  sum_net: {stage: background, window: [480, 525]}
  total:  {stage: integrate, window: [540, 560]}
  table:  {stage: collect, input: [total, sum.pixels], over: temperature}
  tables: {stage: collect, input: total, over: [sample, temperature], repeat: sample}
""")
    eelpipe("run", recipe, "--quiet")
    trees = described((tmp / "out").rglob("*.hspy"), 4 * 13 + 3)
    kinds = {signal["@kind"]["text"] for tree in trees for signal in tree["entry"].values() if "@kind" in signal}
    assert kinds >= {"spectrum image", "map", "spectrum", "table"}, kinds
    eelpipe("stage", "background", tmp / "data/o.hspy", tmp / "alone.hspy", "window=480,525")
    described([tmp / "alone.hspy"], 1)


def check_results_of_the_default_recipe(tmp):
    tmp = Path(tmp)
    shutil.copy(ROOT / "config.yaml", tmp)
    simulate("series", tmp / "testdata/series", "--samples", "ncm003", "--temperatures", "25,400")
    eelpipe("run", tmp / "config.yaml", "--quiet")
    described((tmp / "out").rglob("*.hspy"), 10)


def check_one_file_of_each_kind(tmp):
    """What the writer can write, stages or no stages: also curves, profiles, EDS, a time series, whole numbers."""
    tmp = Path(tmp)
    run(Path(os.environ["EELPIPE_PEER_BIN"]) / "write_examples", tmp)
    trees = []
    for path in sorted(tmp.glob("*.hspy")):
        trees.append(file_told(path))
        trees[-1]["entry"]["eelpipe"]["inputs"]["#json"] = []  # made up there, without fingerprints
    assert len(trees) > 9
    for tree, ajv in zip(trees, validate(schema("result.schema.json"), trees)):
        assert ajv is None, f"{tree['entry']['title']['#value']}: {ajv}"


def check_damaged_results(tmp):
    """The schema says something: each change of a good file is refused."""
    tmp = Path(tmp)
    files(tmp)
    eelpipe("stage", "background", tmp / "data/o.hspy", tmp / "net.hspy", "window=480,525")

    def without(f, name):
        del f[name]

    def again(f, signal, name, **options):
        """The same dataset, stored in another way."""
        old, view = f[f"entry/{signal}/{name}"], f"Experiments/{signal}{name[4:]}/data"
        kept = dict(old.attrs)
        values = old[()]
        del f[f"entry/{signal}/{name}"], f[view]
        new = f[view] = f[f"entry/{signal}"].create_dataset(name, data=values, **options)
        for key, value in kept.items():
            new.attrs[key] = value

    changes = {
        "layout": lambda f: f.attrs.modify("eelpipe_layout", np.int32(2)),
        "type of an attribute": lambda f: f["entry/net"].attrs.create("nnav", 2, dtype="i8"),
        "unknown attribute": lambda f: f["entry/net"].attrs.create("colour", "red"),
        "unknown member": lambda f: f["entry/net/covariance"].create_dataset("extra", data=[1.0]),
        "no unit": lambda f: f["entry/exponent/data"].attrs.pop("units"),
        "no flags": lambda f: without(f, "entry/exponent/flags"),
        "no model": lambda f: without(f, "entry/net/covariance/theta"),
        "no axis": lambda f: f["entry/net"].attrs.pop("axis_2_scale"),
        "fixed length": lambda f: f["entry/eelpipe"].attrs.create("step", np.bytes_("net")),
        "a copy": lambda f: (without(f, "Experiments/exponent/data"), f.create_dataset("Experiments/exponent/data", data=[1.0])),
        "not chunked": lambda f: again(f, "net", "data"),
        "packed floats": lambda f: again(f, "exponent", "data_errors", chunks=(6, 9), shuffle=True, compression=1),
        "navigate as a number": lambda f: f["Experiments/net/axis-0"].attrs.create("navigate", 1),
    }
    trees = [file_told(tmp / "net.hspy")]
    for change in changes.values():
        shutil.copy(tmp / "net.hspy", tmp / "damaged.hspy")
        with h5py.File(tmp / "damaged.hspy", "r+") as f:
            change(f)
        trees.append(file_told(tmp / "damaged.hspy"))
    first, *others = validate(schema("result.schema.json"), trees)
    assert first is None, first
    assert "chunks" in others[list(changes).index("not chunked")] and "filters" in others[list(changes).index("packed floats")], others
    for name, ajv in zip(changes, others):
        assert ajv is not None, f"{name}: the schema accepts it"
