"""How much lithium each method finds in the simulated series, against its truth: the tables of docs/which-lithium.md.

Runs: ncm104 at 25, 400 and 700 degC (four tenths of NCM's lithium gone), thickness 60 nm within 20 %, and specimens without lithium. Regions are well inside NCM and LLTO. Lithium is counts of Li K at 55 to 65 eV, plural losses included.
"""
import json

import h5py
import numpy as np
from pipe import eelpipe, simulate

NCM, LLTO = slice(50, 72), slice(16, 28)
RUNS = [("ncm104", 25), ("ncm104", 400), ("ncm104", 700)]
SMALL = ["--thickness-spread", "0.2", "--eds-pixels", "4,4"]
TM = "{name: TM, edges: [Mn_M, Co_M, Ni_M]}"
HEAD = """eelpipe: 1
inputs:
  ll:  "{series}/{{sample}}/{{temperature}}C/ll.hspy"
  li:  {{path: "{series}/{{sample}}/{{temperature}}C/li.hspy", pair: ll, counts_per_electron: 1.0}}
  fll: "{free}/ncm003/25C/ll.hspy"
  fli: {{path: "{free}/ncm003/25C/li.hspy", pair: fll, counts_per_electron: 1.0}}
coordinates: {{temperature: degC}}
output: "{out}/{{sample}}/{{temperature}}C"
steps:
  al:     {{stage: align, input: li}}
  m_ncm:  {{stage: region, input: al.shift, columns: [50, 72]}}
  m_llto: {{stage: region, input: al.shift, columns: [16, 28]}}
  m_sto:  {{stage: region, input: al.shift, columns: [0, 5], at: {{temperature: min}}}}
  fal:    {{stage: align, input: fli}}
  f_ncm:  {{stage: region, input: fal.shift, columns: [50, 72]}}
  f:      {{stage: sum_spectrum, input: fal, mask: f_ncm}}
  fl:     {{stage: sum_spectrum, input: fal.low_loss, mask: f_ncm}}
  n:      {{stage: sum_spectrum, input: al, mask: m_ncm}}
  nl:     {{stage: sum_spectrum, input: al.low_loss, mask: m_ncm}}
  l:      {{stage: sum_spectrum, input: al, mask: m_llto}}
  ll_l:   {{stage: sum_spectrum, input: al.low_loss, mask: m_llto}}
  s:      {{stage: sum_spectrum, input: al, mask: m_sto, at: {{temperature: min}}}}
  sl:     {{stage: sum_spectrum, input: al.low_loss, mask: m_sto, at: {{temperature: min}}}}
"""


def mlls(name, what, columns, extra="", low=True, window="[45, 82]"):
    source, loss = ("n", "nl") if what == "ncm" else ("l", "ll_l")
    lines = [f"  {name}:", "    stage: mlls", f"    input: {source}", f"    range: {window}"]
    lines += [f"    low_loss: {loss}"] if low else []
    lines += ["    systematics: false"] if name.endswith(("_up", "_down")) else []
    lines += [f"    columns: [{columns}]"] + ([f"    {line}" for line in extra.split("\n")] if extra else [])
    return "\n".join(lines) + "\n"


def steps():
    li, ti = "{name: Li, edge: Li_K}", "{name: TiM, spectrum: s, low_loss: sl}"
    text = ""
    for what, source in (("ncm", "n"), ("llto", "l")):
        for name, window in (("net", [50, 54]), ("net_up", [51, 55]), ("net_down", [48, 52])):
            text += f"  {what}_{name}: {{stage: background, input: {source}, window: {window}}}\n"
            text += f"  {what}_{name}_i: {{stage: integrate, window: [55, 65]}}\n"
    text += mlls("ncm_kept", "ncm", f"{li}, {TM}", "separable: 100", low=False)
    for tag, window in (("", "[45, 82]"), ("_up", "[47, 82]"), ("_down", "[43, 82]")):
        text += mlls(f"ncm_model{tag}", "ncm", f"{li}, {TM}", window=window)
        text += mlls(f"ncm_free{tag}", "ncm", f"{li}, {{name: TM, spectrum: f, low_loss: fl}}", "references: [f, fl]", window=window)
        text += mlls(f"llto_model{tag}", "llto", f"{li}, {{name: TiM, edge: Ti_M}}", "separable: 100", window=window)
        text += mlls(f"llto_sto{tag}", "llto", f"{li}, {ti}", "references: [s, sl]", window=window)
    text += mlls("llto_flagged", "llto", f"{li}, {{name: TiM, edge: Ti_M}}")
    text += mlls("ncm_shapes", "ncm", f"{li}, {TM}", "at: {temperature: min}")
    text += mlls("llto_shapes", "llto", f"{li}, {ti}", "references: [s, sl]\nat: {temperature: min}")
    held = "per: thickness\nrelative_to: {temperature: min}\nreferences: "
    text += mlls("ncm", "ncm", "{name: Li, spectrum: ncm_shapes.single_Li}, {name: TM, spectrum: ncm_shapes.single_TM}",
                 held + "[ncm_shapes.single_Li, ncm_shapes.single_TM]")
    text += mlls("llto", "llto", "{name: Li, spectrum: llto_shapes.single_Li}, {name: TiM, spectrum: llto_shapes.single_TiM}",
                 held + "[llto_shapes.single_Li, llto_shapes.single_TiM]")
    return text + """  pixels:
    stage: mlls
    input: al
    plural: kept
    systematics: false
    references: [ncm.only_Li, ncm.without_Li, ncm.plural, llto.without_Li, llto.plural]
    range: [45, 82]
    background: [3]
    columns:
      - {name: Li, spectrum: ncm.only_Li}
      - {name: NCM, spectrum: ncm.without_Li}
      - {name: LLTO, spectrum: llto.without_Li}
      - {name: NCM_plural, spectrum: ncm.plural}
      - {name: LLTO_plural, spectrum: llto.plural}
"""


def read(path, name):
    with h5py.File(path) as f:
        group = f[f"entry/{name}"]
        sigma = [k for k in group if k.endswith("errors")]
        return group["data"][()], group[sigma[0]][()] if sigma else None


def value(path, name):
    v, s = read(path, name)
    return float(np.ravel(v)[0]), float(np.ravel(s)[0]) if s is not None else None


def truth(series, sample, temperature, region):
    with h5py.File(f"{series}/{sample}/{temperature}C/truth.h5") as f:
        return float(f["li_k_counts"][()][:, region].sum())


def bound(series, sample, temperature, host):
    """Cramer-Rao bound of a pixel's lithium when all shapes are known."""
    with h5py.File(f"{series}/{sample}/{temperature}C/truth.h5") as f:
        g = f["spectra_li"]
        e = g["energy_ev"][()]
        names = [k for k in g if k.startswith(f"in_{host}") and not k.endswith("la_n")]
        parts = np.array([g[k][()] for k in names])
    fit, window = (e >= 45) & (e < 80), (e >= 55 - 1e-6) & (e < 65 - 1e-6)
    cov = np.linalg.inv((parts[:, fit] / parts.sum(0)[fit]) @ parts[:, fit].T)
    i = next(k for k, n in enumerate(names) if "li_k" in n)
    return np.sqrt(cov[i, i]) * parts[i][window].sum()


def run(tmp, name, series, free):
    out, recipe = f"{tmp}/{name}", f"{tmp}/{name}.yaml"
    with open(recipe, "w", encoding="utf-8") as f:
        f.write(HEAD.format(series=series, free=free, out=out) + steps())
    eelpipe("run", recipe, "--quiet")
    return out


def check_which_lithium(tmp):
    series, free = f"{tmp}/series", f"{tmp}/free"
    simulate("series", series, *SMALL, "--temperatures", "25,400,700", "--samples", "ncm104")
    simulate("series", free, *SMALL, "--lithium", "0", "--temperatures", "25", "--samples", "ncm003")
    simulate("series", f"{tmp}/other", *SMALL, "--lithium", "0", "--temperatures", "25", "--samples", "ncm104", "--seed", "7")
    with_li, without = run(tmp, "with", series, free), run(tmp, "without", f"{tmp}/other", free)

    def counts(out, sample, temperature, step):
        name = "intensity" if step.endswith("_i") else "Li"
        return value(f"{out}/{sample}/{temperature}C/{step}.hspy", name)[0]

    found = {}
    print(f"  {'method':28s} {'bias':>15s} {'no lithium':>11s} {'range by 2 eV':>14s}")
    for what, region, host in (("ncm", NCM, "NCM"), ("llto", LLTO, "LLTO")):
        pristine = truth(series, "ncm104", 25, region)
        for step, suffix in ((f"{what}_net", "_i"), (f"{what}_kept", ""), (f"{what}_model", ""), (f"{what}_free", ""), (f"{what}_sto", "")):
            if not (step + suffix) in {"ncm_net_i", "llto_net_i", "ncm_kept", "ncm_model", "ncm_free", "llto_model", "llto_sto"}:
                continue
            bias = [counts(with_li, s, t, step + suffix) / truth(series, s, t, region) - 1 for s, t in RUNS]
            false = counts(without, "ncm104", 25, step + suffix) / pristine
            moved = np.full((len(RUNS), 2), np.nan)
            if step != "ncm_kept":
                moved = np.array([[counts(with_li, s, t, f"{step}_{way}{suffix}") / counts(with_li, s, t, step + suffix) - 1
                                   for way in ("up", "down")] for s, t in RUNS])
            found[step] = min(bias), max(bias), false, np.abs(moved[0]).max()
            print(f"  {host + ' ' + step:28s} {100 * min(bias):+6.0f} to {100 * max(bias):+4.0f} % {100 * false:+9.0f} % {100 * np.abs(moved[0]).max():12.0f} %"
                  f" (hot runs {100 * np.abs(moved).max():.0f} %)")
    changes = []
    for step, key, grown in (("ncm", "ncm_mol_per_l", 49.3), ("llto", "llto_mol_per_l", 10.0)):
        for t in (400, 700):
            with open(f"{series}/ncm104/{t}C/truth.json", encoding="utf-8") as f:
                true = json.load(f)["lithium"][key] / grown - 1
            v, s = value(f"{with_li}/ncm104/{t}C/{step}.hspy", "change")
            changes.append((step, v - true, s))
            print(f"  change of {step} at {t} degC: {v:+.3f} +- {s:.3f}, truth {true:+.3f}")
    scatter = {}
    for sample, t in RUNS:
        li, sigma = read(f"{with_li}/{sample}/{t}C/pixels.hspy", "Li")
        with h5py.File(f"{series}/{sample}/{t}C/truth.h5") as f:
            d = li - f["li_k_counts"][()]
        for host, region in (("ncm", NCM), ("llto", LLTO)):
            column = d[:, region] - d[:, region].mean(axis=0)
            ratio = column.std() * np.sqrt(28 / 27) / sigma[:, region].mean(), sigma[:, region].mean() / bound(series, sample, t, host)
            scatter.setdefault(host, []).append(ratio)
    for host, r in scatter.items():
        r = np.array(r)
        print(f"  pixels of {host}: scatter {r[:, 0].min():.2f} to {r[:, 0].max():.2f} of sigma, sigma {r[:, 1].min():.2f} to {r[:, 1].max():.2f} of the bound")

    # What is asked of each: without references 15 % and 15 % of false lithium in NCM; with them 10 % in NCM, 25 % in LLTO, 10 %.
    low, high, false, moved = found["ncm_model"]
    assert max(-low, high) < 0.15 and abs(false) < 0.15 and moved < 0.05, "NCM, modelled edges"
    low, high, false, moved = found["ncm_free"]
    assert max(-low, high) < 0.10 and abs(false) < 0.10 and moved < 0.05, "NCM, a reference without lithium"
    low, high, false, moved = found["llto_sto"]
    assert max(-low, high) < 0.25 and abs(false) < 0.25 and moved < 0.10, "LLTO, a titanium oxide as reference"
    for sample, t in RUNS:
        assert np.isnan(counts(with_li, sample, t, "llto_flagged")), "LLTO without reference was given"
    for step, off, sigma in changes:
        assert abs(off) < max(0.03, 2 * sigma), f"change of {step}: off by {off:.3f}"
    # Thickness varies by 10 % along the columns of the field, and in hot runs the metals' profiles reach into the regions: what that
    # does beyond first order is not noise and not in sigma. In LLTO lithium is a fortieth of the counts, so it shows there.
    for host, r in scatter.items():
        assert 0.85 < r[0][0] < (1.25 if host == "ncm" else 1.7) and all(b < 2.5 for _, b in r), f"pixels of {host}"
