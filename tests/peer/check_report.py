"""The HTML report, read as a person would: in a browser (headless Chromium), against the values that h5py reads."""
import atexit
import base64
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
from pipe import EELPIPE, eelpipe, simulate

# No file name may hold a slash; the recipe's text may.
NASTY = "<img src=x onerror=window.hacked=1>"
RECIPE = """eelpipe: 1
# </pre></script><script>window.hacked = 1</script> & "quotes"
inputs:
  o: {path: "raw/{sample}/{temperature}C/o.hspy", counts_per_electron: 1.0, exclude: {rows: [2]}, frame: one}
coordinates: {temperature: degC}
output: out/{sample}/{temperature}C
overrides:
  - {when: {temperature: 400}, set: {steps.ti_map.window: [456, 471]}, because: "<b>drifted</b> & </script>"}
steps:
  ti_net:   {stage: background, input: o, window: [432, 452]}
  ti_map:   {stage: integrate, window: [456, 470]}
  boundary: {stage: interface, input: ti_map, positive: low, at: {temperature: min}}
  ti:       {stage: profile, input: ti_map, along: boundary, bin: 1}
  moved:    {stage: front, input: ti, relative_to: {temperature: min}}
  o_sum:    {stage: sum_spectrum, input: o}
  o_net:    {stage: background, window: [505, 524]}
  ratio:    {stage: ratio, numerator: [527, 532], denominator: [536, 546]}
  ratios:   {stage: collect, input: ratio, over: temperature}
"""
TEMPERATURES = ["25", "100", "400"]


def series(tmp):
    """A small series and its results, below tmp."""
    tmp = Path(tmp)
    simulate("series", tmp / "raw", "--pixels", "10,36", "--eds-pixels", "4,8", "--samples", "ncm104", "--temperatures", ",".join(TEMPERATURES))
    (tmp / "raw/ncm104").rename(tmp / "raw" / NASTY)
    recipe = tmp / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    eelpipe("run", recipe, "--quiet")
    return recipe


@functools.lru_cache(maxsize=1)
def made():
    """The series, made once for all checks that only read it."""
    keep = tempfile.TemporaryDirectory()
    recipe = series(keep.name)
    eelpipe("report", recipe, "--quiet")
    return keep, recipe, recipe.parent / "out/report.html"


# ---- the page as text --------------------------------------------------------------------------------------------

class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "br", "input", "path") and "/" not in tag:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def check_page_is_whole():
    text = made()[2].read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open, page.open
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for tag, a in page.tags:
        assert tag != "link" and tag != "iframe" and "style" not in a and not any(k.startswith("on") for k in a), (tag, a)
        if tag == "img":
            assert a["src"].startswith("data:") and a["alt"].strip(), a
        if a.get("href", "#")[0] != "#" or ("href" in a and a["href"][1:] not in ids):
            raise AssertionError(f"a link to {a['href']}")
    headings = [int(t[1]) for t, _ in page.tags if re.fullmatch("h[1-6]", t)]
    assert headings[0] == 1 and all(b <= a + 1 for a, b in zip(headings, headings[1:])), "a level of headings is left out"
    assert "viewport" in [a.get("name") for t, a in page.tags if t == "meta"] and 'lang="en"' in text


def check_same_input_same_bytes(tmp):
    _, recipe, page = made()
    moved = Path(tmp) / "elsewhere"
    shutil.copytree(recipe.parent, moved)
    done = subprocess.run([EELPIPE, "report", "recipe.yaml", "--to", "again.html", "--threads", "1"], cwd=moved, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (moved / "again.html").read_bytes() == page.read_bytes()


def check_says_what_is_not_there(tmp):
    recipe = series(tmp)
    out = recipe.parent / "out"
    (out / NASTY / "100C/ti.hspy").unlink()
    (out / NASTY / "400C/o_sum.hspy").write_bytes((out / NASTY / "400C/o_sum.hspy").read_bytes()[:900])
    done = eelpipe("report", recipe, "--set", "steps.ratio.numerator=527,531", "--to", Path(tmp) / "r.html", code=1)
    assert "out of date" in done.stderr and "not there" in done.stderr and "can't be read" in done.stderr, done.stderr
    text = (Path(tmp) / "r.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>sample [^<]*, (\d+)\u00a0°C</td><td>([^<]*)</td>', text)
    assert ("ti", "100", "not computed") in rows and ("o_sum", "400", "unreadable") in rows, rows
    assert [r for r in rows if r[0] == "ratio"] == [("ratio", t, "out of date") for t in TEMPERATURES], rows
    assert "numerator changed: [527,532] -&gt; [527,531]" in text and "<code>steps.ratio.numerator=527,531</code>" in text


def check_replaces_reports_alone(tmp):
    recipe = made()[1]
    mine = Path(tmp) / "mine.html"
    mine.write_text("<!DOCTYPE html><title>mine</title>", encoding="utf-8")
    assert "no report of eelpipe" in eelpipe("report", recipe, "--to", mine, code=4).stderr
    assert "mine" in mine.read_text(encoding="utf-8")
    empty = Path(tmp) / "recipe.yaml"
    (Path(tmp) / "raw").symlink_to(recipe.parent / "raw")
    empty.write_text(RECIPE, encoding="utf-8")
    assert "no results to report of" in eelpipe("report", empty, code=1).stderr
    assert not (Path(tmp) / "out/report.html").exists()


def check_large_maps_stay_as_pictures(tmp):
    recipe, small = made()[1], Path(tmp) / "small.html"
    eelpipe("report", recipe, "--quiet", "--to", small, "--limit", "66k")  # the frame of the page and half as much
    text, full = small.read_text(encoding="utf-8"), made()[2].read_text(encoding="utf-8")
    assert "The values of these maps are not in this page" in text
    assert text.count("<img") and '"v":"' in full and '"v":"' not in text
    assert len(text) <= 66 * 1024, len(text)
    Page(text)
    eelpipe("report", recipe, "--quiet", "--to", small, "--limit", "1k")  # less than the frame of a page: no output fits, each is named
    text = small.read_text(encoding="utf-8")
    assert "Not in this page" in text and "<code>intensity</code>" in text and 'class="maps"' not in text
    Page(text)


# ---- the page in a browser ---------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=1)
def browser():
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service
    except ImportError as e:
        raise unittest.SkipTest("python3-selenium is not installed") from e
    chromium, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if not chromium or not driver:
        raise unittest.SkipTest("chromium or chromium-driver is not installed")
    options = Options()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        started = webdriver.Chrome(service=Service(driver), options=options)
    except Exception as e:  # noqa: BLE001 - a browser that does not start here says nothing of the page
        raise unittest.SkipTest(f"chromium does not start: {str(e).splitlines()[0]}") from e
    atexit.register(started.quit)
    return started


def wait(what, why):
    end = time.monotonic() + 15
    while not what():
        assert time.monotonic() < end, f"{why}: it does not come"
        time.sleep(0.02)


def opened():
    b = browser()
    b.set_window_size(1100, 900)
    b.get(made()[2].as_uri())
    return b


def viewer(b, label):
    """The viewer of a map, scrolled to, once its first run is shown."""
    box = next(e for e in b.find_elements("css selector", "div.maps") if e.get_attribute("aria-label").startswith(label))
    b.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    wait(lambda: box.find_elements("css selector", ".view[data-shown]"), label)
    b.execute_script("arguments[0].scrollIntoView({block: 'center'})", box.find_element("css selector", "canvas"))
    return box


def said(box):
    e = box.find_element("css selector", ".view > output")
    return e.get_attribute("textContent"), {k: e.get_attribute(f"data-{k}") for k in ("value", "sigma", "flags", "run")}


def stored(recipe, temperature):
    with h5py.File(recipe.parent / "out" / NASTY / f"{temperature}C/ti_map.hspy") as f:
        g = f["entry/intensity"]
        return g["data"][()], g["data_errors"][()], g["flags"][()]


def as_shown(v, sigma):
    places = max(0, 1 - int(np.floor(np.log10(sigma))))
    # a browser rounds halves up, and stored sigmas have few bits: 430.5 is one
    v, sigma = (Decimal(float(x)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) for x in (v, sigma))
    return f"{v} ± {sigma}".replace("-", "−")


def check_value_under_the_pointer():
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    b = opened()
    box = viewer(b, "Intensity")
    slider, canvas = box.find_element("css selector", "input[type=range]"), box.find_element("css selector", "canvas")
    for k, temperature in enumerate(TEMPERATURES):
        if k:
            slider.send_keys(Keys.ARROW_RIGHT)
        wait(lambda t=temperature: box.find_element("css selector", ".view").get_attribute("data-shown") == f"{t}\u00a0°C", f"the slider at {temperature}")
        assert slider.get_attribute("aria-valuetext") == f"{temperature}\u00a0°C"
        value, sigma, flags = stored(made()[1], temperature)
        ny, nx = value.shape
        wide, high = canvas.size["width"], canvas.size["height"]
        for y, x in ((0, 0), (5, 17), (9, 35), (2, 7)):
            dx, dy = (x + 0.5) / nx * wide - wide / 2, (y + 0.5) / ny * high - high / 2
            ActionChains(b, duration=0).move_to_element_with_offset(canvas, round(dx), round(dy)).perform()
            text, data = said(box)
            assert f"row {y}, column {x} " in text and text.startswith(f"{temperature}\u00a0°C"), text
            assert int(data["flags"]) == flags[y, x]
            if y == 2:
                assert data["value"] == "NaN" and "no value" in text and "masked: left out by the recipe" in text, text
                continue
            assert np.float32(data["value"]) == value[y, x], (data, value[y, x])
            assert abs(float(data["sigma"]) / sigma[y, x] - 1) < 2.0 ** -12  # 11 bits of mantissa and rounding
            assert as_shown(value[y, x], float(data["sigma"])) in text, text
            assert np.float32(re.search(r"stored: ([^)]*)\)", text)[1].replace("−", "-")) == value[y, x], text


def check_keyboard_alone_reaches_all():
    from selenium.webdriver.common.keys import Keys
    b = opened()
    box = viewer(b, "Intensity")
    value = stored(made()[1], "25")[0]
    canvas = box.find_element("css selector", "canvas")
    canvas.send_keys(Keys.ARROW_DOWN)  # the first key puts the cursor on the map
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.SHIFT, Keys.ARROW_RIGHT)
    text, data = said(box)
    assert "row 1, column 12 " in text and np.float32(data["value"]) == value[1, 12], text
    canvas.send_keys(Keys.TAB)
    assert b.switch_to.active_element != canvas, "the map keeps the focus"
    small = box.find_elements("css selector", "ul.small button")
    small[2].send_keys(Keys.ENTER)
    wait(lambda: said(box)[1]["run"] == "400\u00a0°C", "the third picture")
    assert small[2].get_attribute("aria-pressed") == "true"
    # Profiles: a slider over distances.
    with h5py.File(made()[1].parent / "out" / NASTY / "25C/ti.hspy") as f:
        profile, errors = f["entry/profile/data"][()], f["entry/profile/data_errors"][()]
    chart = next(e for e in b.find_elements("css selector", "svg.has-table") if "ti.profile" in e.find_element("css selector", "title").get_attribute("textContent"))
    b.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    figure = chart.find_element("xpath", "..")
    wait(lambda: figure.find_elements("css selector", ".reader input"), "the profile's slider")
    figure.find_element("css selector", ".reader input").send_keys(Keys.ARROW_RIGHT)
    text = figure.find_element("css selector", ".reader output").get_attribute("textContent")
    assert f"25\u00a0°C: {as_shown(profile[1], errors[1])}" in text, (text, profile[1], errors[1])


def curve(recipe, temperature):
    """Boundary of the coldest run, and the front of one: places on the map in thousandths of its width and height."""
    out = recipe.parent / "out" / NASTY
    with h5py.File(out / "25C/boundary.hspy") as f:
        points = f["entry/boundary/data"][()]  # y, x, normal y and x, sigma
    with h5py.File(out / f"{temperature}C/moved.hspy") as f:
        depth = float(np.ravel(f["entry/front/position"][()])[0])
    with h5py.File(out / f"{temperature}C/ti_map.hspy") as f:
        g = f["entry/intensity"]
        y, x = g["y"][()], g["x"][()]
    straight = np.linalg.svd(points[:, :2] - points[:, :2].mean(0))[2][1]
    straight *= np.sign(straight @ points[:, 2:4].mean(0))
    scale = np.array([y[1] - y[0], x[1] - x[0]])
    return [1000 * ((points[:, :2] + d * straight - [y[0], x[0]]) / scale + 0.5) / [len(y), len(x)] for d in (0, depth)]


def distance(points, line):
    """How far points (y, x) are from a polyline (x, y)."""
    line = np.array(line)[:, ::-1]
    parts = np.clip(np.einsum("pij,ij->pi", points[:, None] - line[None, :-1], np.diff(line, axis=0)) / (np.diff(line, axis=0) ** 2).sum(1), 0, 1)
    return np.sqrt(((points[:, None] - line[:-1] - parts[..., None] * np.diff(line, axis=0)) ** 2).sum(2)).min(1)


def check_curves_lie_where_the_numbers_say():
    b = opened()
    box = viewer(b, "Intensity")
    small = box.find_elements("css selector", "ul.small li")
    assert len(small) == len(TEMPERATURES)
    for li, temperature in zip(small, TEMPERATURES):
        lines = {e.get_attribute("class"): [tuple(map(float, q.split(","))) for q in e.get_attribute("points").split()] for e in li.find_elements("css selector", "polyline")}
        for name, points in zip(("boundary", "front"), curve(made()[1], temperature)):
            assert distance(points, lines[name]).max() < 0.6, (temperature, name)  # straight stretches are drawn as such, to half a thousandth
        picture, over = li.find_element("css selector", "img").rect, li.find_element("css selector", "svg").rect
        assert all(abs(picture[k] - over[k]) < 1 for k in picture), (picture, over)
    stage = box.find_element("css selector", ".stage")
    canvas, over = stage.find_element("css selector", "canvas").rect, stage.find_element("css selector", "svg").rect
    assert all(abs(canvas[k] - over[k]) < 1 for k in canvas), (canvas, over)
    assert "white dots: boundary; yellow dots: moved" in box.find_element("xpath", "..").text
    box.find_element("css selector", "input[type=checkbox]").click()
    assert not stage.find_element("css selector", "svg").is_displayed() and not small[0].find_element("css selector", "svg").is_displayed()


def check_prints_what_the_recipe_ends_in():
    from selenium.webdriver.common.keys import Keys
    b = opened()
    box = viewer(b, "Intensity")
    box.find_element("css selector", "input[type=range]").send_keys(Keys.END)
    wait(lambda: box.find_element("css selector", ".view").get_attribute("data-shown") == "400\u00a0°C", "the slider at 400")
    printed = base64.b64decode(b.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.count(b"/Type /Page\n") <= 5, printed.count(b"/Type /Page\n")
    b.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert [li.text for li in box.find_elements("css selector", "ul.small li") if li.is_displayed()] == ["400 °C"]
        shown = {e.text.split()[0] for e in b.find_elements("css selector", "section.step h3") if e.is_displayed()}
        assert {"ratios", "moved", "ti_map"} <= shown and not shown & {"o_sum", "o_net"}, shown
        assert not any(e.is_displayed() for e in b.find_elements("css selector", "nav, .view, details, #origin"))
    finally:
        b.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def check_readable_without_scripts():
    b = browser()
    b.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        b.get("about:blank")
        b.get(made()[2].as_uri())
        assert not b.find_elements("css selector", ".view, canvas"), "the script ran"
        pictures = b.find_elements("css selector", "ul.small img")
        assert len(pictures) >= len(TEMPERATURES) and all(p.is_displayed() and p.rect["width"] > 100 for p in pictures)
        table = next(t for t in b.find_elements("css selector", "table") if t.is_displayed() and "ratios" in t.find_element("css selector", "caption").text)
        assert len(table.find_elements("css selector", "tbody tr")) == len(TEMPERATURES) and "±" in table.text
    finally:
        b.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def check_nothing_leaves_the_page():
    b = opened()
    for box in b.find_elements("css selector", "div.maps, svg.has-table, section"):
        b.execute_script("arguments[0].scrollIntoView()", box)
    time.sleep(0.3)
    asked = [json.loads(m["message"])["message"] for m in b.get_log("performance")]
    urls = {m["params"]["request"]["url"][:60] for m in asked if m["method"] == "Network.requestWillBeSent"}
    foreign = {u for u in urls if not u.startswith(("data:", "file:"))}
    assert not foreign and len([u for u in urls if u.startswith("file:")]) == 1, urls
    log = b.get_log("browser")
    assert not log, log
    # The policy forbids what an escaped text can not do anyway.
    b.execute_script("const s = document.createElement('script'); s.textContent = 'window.foreign = 1'; document.body.append(s)")
    assert b.execute_script("return window.foreign") is None
    assert b.execute_async_script("const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), e => done('refused'))") == "refused"
    assert any("Content Security Policy" in m["message"] for m in b.get_log("browser"))


def check_texts_stay_texts():
    b = opened()
    assert b.execute_script("return window.hacked") is None
    assert not b.find_elements("css selector", "img[src=x], b")
    body = b.execute_script("return document.body.textContent")
    assert NASTY in body and "</pre></script><script>window.hacked" in body and "<b>drifted</b> & </script>" in body
    box = viewer(b, "Intensity")
    assert NASTY in box.find_element("css selector", "canvas").get_attribute("aria-label")


def check_fits_a_phone_in_light_and_dark():
    b = opened()
    seen = set()
    for scheme in ("light", "dark"):
        b.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        seen.add(b.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2, seen
    b.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    b.get(made()[2].as_uri())
    viewer(b, "Intensity")
    assert b.execute_script("return document.documentElement.scrollWidth") <= 360
