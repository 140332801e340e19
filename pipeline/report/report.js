"use strict";
(() => {
const page = JSON.parse(document.getElementById("page").textContent);
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const rgb = bytes(page.colours);
const el = (name, attributes, ...children) => {
    const e = document.createElement(name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    e.append(...children);
    return e;
};
const minus = text => text.replace(/-/g, "\u2212");

/* Planes of bytes of equal weight, deflated: back to little-endian words. */
async function unpack(text, Type) {
    if (!text) return null;
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const n = planes.length / 4, view = new DataView(new ArrayBuffer(planes.length)), out = new Type(n);
    for (let b = 0; b < 4; b++) for (let i = 0; i < n; i++) view.setUint8(4 * i + b, planes[b * n + i]);
    for (let i = 0; i < n; i++) out[i] = Type === Float32Array ? view.getFloat32(4 * i, true) : view.getUint32(4 * i, true);
    return out;
}

/* As many digits as the sigma has two of. */
function number(v, sigma) {
    if (!(sigma > 0) || !isFinite(sigma)) return minus(String(+v.toPrecision(6)));
    const places = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(sigma))));
    if (Math.abs(v) >= 1e9 || places > 9) return minus(`${v.toPrecision(6)} \u00b1 ${sigma.toPrecision(2)}`);
    return minus(`${v.toFixed(places)} \u00b1 ${sigma.toFixed(places)}`);
}
const place = (axis, i) => {
    const v = axis[0] + i * axis[1];
    return axis[2] ? `${minus(String(+v.toPrecision(5)))}\u00a0${axis[2]}` : String(i);
};

function viewer(box) {
    const script = box.querySelector("script");
    if (!script) return;
    const data = JSON.parse(script.textContent);
    const runs = data.runs;
    if (!runs.length) return;
    const id = "m" + Math.random().toString(36).slice(2);
    const slider = el("input", {type: "range", min: 0, max: runs.length - 1, step: 1, value: 0, "aria-label": `${data.along} of ${data.title}${data.group ? ", " + data.group : ""}`});
    const named = el("output", {"aria-hidden": "true"});
    const canvas = el("canvas", {tabindex: 0, role: "application", "aria-roledescription": "map", "aria-describedby": id});
    const said = el("output", {id, "aria-live": "polite"}, "Point at a pixel, or press arrow keys on the map.");
    const mark = el("i", {hidden: ""});
    const stage = el("div", {class: "stage"}, canvas, mark);
    const view = el("div", {class: "view"}, el("label", {}, data.along, slider, named), stage, said);
    const pictures = [...box.querySelectorAll("ul.small li")];
    const picture = run => pictures.find(li => li.querySelector("img") && li.lastElementChild.textContent.startsWith(run.label));
    const curves = runs.map(run => picture(run)?.querySelector("svg.curves"));
    if (curves.some(c => c)) {
        const tick = el("input", {type: "checkbox", checked: ""});
        tick.addEventListener("change", () => box.classList.toggle("bare", !tick.checked));
        view.append(el("label", {}, tick, "boundaries and fronts"));
    }
    if (runs.length < 2) slider.disabled = true;
    let at = null, shown = null, wanted = 0;

    function say() {
        if (!at || !shown) return;
        const [y, x] = at, {run, v, s, f} = shown;
        mark.hidden = y >= run.ny || x >= run.nx;
        if (mark.hidden) return;
        const i = y * run.nx + x, sigma = s ? s[i] : NaN, flags = f ? f[i] : 0;
        const words = page.flags.filter(w => flags & w[0]);
        mark.style.cssText = `left:${100 * x / run.nx}%;top:${100 * y / run.ny}%;width:${100 / run.nx}%;height:${100 / run.ny}%`;
        let text = `${run.label}${run.state ? ` (${run.state})` : ""}, row ${y}, column ${x} (y ${place(run.y, y)}, x ${place(run.x, x)}): `;
        if (Number.isNaN(v[i])) text += words.length ? "no value" : "no value, and no flag that says why";
        else text += `${number(v[i], sigma)}${data.unit ? " " + data.unit : ""} (stored: ${minus(v[i].toPrecision(9))})`;
        if (words.length) text += `; ${words.map(w => `${w[1]}: ${w[2]}`).join("; ")}`;
        said.textContent = text;
        said.dataset.value = v[i];
        said.dataset.sigma = sigma;
        said.dataset.flags = flags >>> 0;
        said.dataset.run = run.label;
    }
    /* Also before there are values, so that the page does not move under the reader. */
    function size(run) {
        canvas.width = run.nx;
        canvas.height = run.ny;
        const hy = Math.abs(run.y[1]) || 1, hx = Math.abs(run.x[1]) || 1, square = run.y[2] === run.x[2] && run.ny > 1;
        canvas.style.aspectRatio = square ? `${run.nx * hx} / ${run.ny * hy}` : `${run.nx} / ${Math.max(run.ny, run.nx / 16)}`;
    }
    function paint() {
        const {run, v} = shown;
        size(run);
        canvas.setAttribute("aria-label", `${data.title}${data.group ? ", " + data.group : ""}, ${run.label}; arrow keys move over ${run.ny} rows and ${run.nx} columns`);
        const image = new ImageData(run.nx, run.ny);
        for (let i = 0; i < v.length; i++) {
            const part = Math.min(1, Math.max(0, (v[i] - data.lo) / (data.hi - data.lo)));
            const k = 3 * Math.round(255 * part);
            for (let c = 0; c < 3; c++) image.data[4 * i + c] = Number.isNaN(v[i]) ? 184 : rgb[k + c];
            image.data[4 * i + 3] = 255;
        }
        canvas.getContext("2d").putImageData(image, 0, 0);
        stage.querySelector("svg")?.remove();
        if (curves[runs.indexOf(run)]) stage.append(curves[runs.indexOf(run)].cloneNode(true));
    }
    async function show(k) {
        wanted = k;
        const run = runs[k];
        slider.value = k;
        slider.setAttribute("aria-valuetext", run.label);
        named.textContent = run.label + (run.state ? `, ${run.state}` : "");
        box.querySelectorAll("ul.small button").forEach((b, i) => b.setAttribute("aria-pressed", i === k));
        const [v, s, f] = await Promise.all([unpack(run.v, Float32Array), unpack(run.s, Float32Array), unpack(run.f, Uint32Array)]);
        if (wanted !== k) return;
        shown = {run, v, s, f};
        paint();
        say();
        view.dataset.shown = run.label;
    }
    const point = e => {
        const r = canvas.getBoundingClientRect(), {run} = shown || {run: runs[0]};
        at = [Math.min(run.ny - 1, Math.max(0, Math.floor((e.clientY - r.top) / r.height * run.ny))),
              Math.min(run.nx - 1, Math.max(0, Math.floor((e.clientX - r.left) / r.width * run.nx)))];
        say();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("keydown", e => {
        const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[e.key];
        if (!step || !shown) return;
        e.preventDefault();
        const {run} = shown, k = e.shiftKey ? 10 : 1;
        at = at ? [Math.min(run.ny - 1, Math.max(0, at[0] + k * step[0])), Math.min(run.nx - 1, Math.max(0, at[1] + k * step[1]))] : [0, 0];
        say();
    });
    slider.addEventListener("input", () => show(+slider.value));
    runs.forEach((run, k) => {
        const li = picture(run);
        if (!li) return;
        const button = el("button", {type: "button", "aria-pressed": "false"}, ...li.childNodes);
        button.addEventListener("click", () => show(k));
        li.append(button);
    });
    size(runs[0]);
    box.append(view);
    near.set(box, () => show(0));
    watch.observe(box);
}

/* Profiles: the row of the table below that is nearest to the pointer. */
function reader(svg) {
    const table = svg.parentElement.querySelector("table");
    if (!table) return;
    const rows = [...table.tBodies[0].rows], names = [...table.tHead.rows[0].cells].map(c => c.textContent);
    const xs = rows.map(r => parseFloat(r.cells[0].textContent.replace("\u2212", "-")));
    const {from, to, lo, hi} = svg.dataset, title = svg.querySelector("title").textContent;
    const slider = el("input", {type: "range", min: 0, max: rows.length - 1, step: 1, value: 0, "aria-label": `${names[0]}: ${title}`});
    const said = el("output", {"aria-live": "polite"}, "Point at the chart, or move the slider.");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", "at");
    svg.append(line);
    const show = k => {
        const x = +from + (xs[k] - lo) / (hi - lo) * (to - from);
        line.setAttribute("d", `M${x} 0V${svg.viewBox.baseVal.height - 46}`);
        slider.value = k;
        said.textContent = names.map((n, i) => `${n}: ${rows[k].cells[i].textContent}`).join("; ");
        slider.setAttribute("aria-valuetext", rows[k].cells[0].textContent);
    };
    svg.addEventListener("pointermove", e => {
        const r = svg.getBoundingClientRect(), x = (e.clientX - r.left) / r.width * svg.viewBox.baseVal.width;
        const v = +lo + (x - from) / (to - from) * (hi - lo);
        show(xs.reduce((best, u, k) => Math.abs(u - v) < Math.abs(xs[best] - v) ? k : best, 0));
    });
    slider.addEventListener("input", () => show(+slider.value));
    svg.after(el("div", {class: "reader"}, el("label", {}, names[0], slider), said));
}

/* Values are unpacked when their map comes near: a page may have hundreds. */
const near = new Map();
const watch = new IntersectionObserver(entries => {
    for (const e of entries) {
        if (!e.isIntersecting) continue;
        watch.unobserve(e.target);
        near.get(e.target)();
    }
}, {rootMargin: "800px"});
document.querySelectorAll("div.maps").forEach(viewer);
document.querySelectorAll("svg.has-table").forEach(reader);
/* On paper: of each map the run that was chosen, of those that nobody has looked at the first. */
const choose = () => document.querySelectorAll("div.maps").forEach(box => {
    const buttons = [...box.querySelectorAll("ul.small button")];
    if (buttons.length && !buttons.some(b => b.getAttribute("aria-pressed") === "true")) buttons[0].setAttribute("aria-pressed", "true");
});
addEventListener("beforeprint", choose);
})();
