// Devices, their properties with the newest values, and charts of what is chosen.
import { ago, byId, download, el, localTime, plural, size, span, twice, zone } from "./dom.js";
import { ask, devicePath, get, isNumber, list, names, pages, Problem } from "./client.js";
import { Chart, Series } from "./chart.js";

const HOUR = 36e5, DAY = 864e5, LISTED = 100, SHOWN = 4, AT_ONCE = 100, SHORTEST = 10;
const YEAR1 = Date.parse("0001-01-01T00:00:00Z"), YEAR9999 = Date.UTC(9999, 11, 31);
const PRESETS = [["1 h", HOUR], ["6 h", 6 * HOUR], ["24 h", DAY], ["7 d", 7 * DAY], ["30 d", 30 * DAY], ["All", Infinity]];

let poll = 5000, link = () => {};
const view = { range: [0, 1], cursor: null, zoom, point, step, announce: text => { $.spoken.textContent = text; } };
let device = null; // what is shown: id, properties, first, last, chosen, own (a person chose), other, follow, newest
let charts = [], leaving, loading, timer;
const $ = {}; // the parts of the page

const button = (text, onclick, more = {}) => el("button", { type: "button", onclick, ...more }, text);

// start makes the page's parts. changed gets what the address should say.
export function start({ every, changed }) {
	[poll, link] = [every, changed];
	const search = event => { event.preventDefault(); devices(); };
	$.prefix = el("input", { type: "search", id: "prefix", placeholder: "Begins with…", autocomplete: "off", oninput: () => { clearTimeout(timer); timer = setTimeout(devices, 200); } });
	$.list = el("ul", { class: "devices" });
	$.listed = el("p", { class: "hint", role: "status" });
	$.more = button("Show more", () => devices(true), { hidden: true });
	$.typed = el("form", { class: "typed", hidden: true, onsubmit: event => { event.preventDefault(); open({ id: $.id.value, chosen: names($.names.value) }); } },
		el("label", { for: "typed-id" }, "Device id"), $.id = el("input", { id: "typed-id", required: true, autocomplete: "off" }),
		el("label", { for: "typed-names" }, "Properties"), $.names = el("input", { id: "typed-names", placeholder: "temperature, speed", autocomplete: "off" }), el("button", { type: "submit" }, "Open"));
	$.device = el("div", { class: "device" }, el("p", { class: "empty" }, "Choose a device."));
	$.spoken = el("p", { class: "spoken", role: "status" });
	byId("explore").replaceChildren(
		el("aside", { "aria-label": "Devices" }, $.browse = el("form", { onsubmit: search, role: "search" }, el("label", { for: "prefix" }, "Devices"), $.prefix), $.listed, $.list, $.more, $.typed),
		$.device, $.spoken);
	new ResizeObserver(draw).observe($.device);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

// enter shows the list, and the device that the address names.
export async function enter(parameters) {
	whole = null;
	await devices();
	const id = parameters.get("d");
	if (id !== null) {
		await open({ id, chosen: parameters.has("p") ? names(parameters.get("p")) : null, other: parameters.get("with"),
			range: parameters.has("from") ? [Date.parse(parameters.get("from")), Date.parse(parameters.get("to"))] : null,
			newest: PRESETS.map(([, length]) => length).find(length => parameters.get("newest") === (length === Infinity ? "all" : `${length / HOUR}h`)) });
	} else if ($.list.children.length === 1) $.list.querySelector("button").click();
}

// back says again in the address what is shown.
export const back = () => { if (device?.last) remember(); };

export function leave() {
	for (const running of [leaving, loading]) running?.abort();
	device = null;
}

let listing, whole = null, after = "", listed = 0; // whole are all devices, if one page has them
async function devices(more = false) {
	listing?.abort();
	const { signal } = listing = new AbortController();
	if (!more) [after, listed] = ["", 0];
	const prefix = $.prefix.value, parameters = new URLSearchParams({ limit: LISTED, ...(prefix && { prefix }), ...(after && { next_token: after }) });
	try {
		const page = whole && prefix ? { items: whole.filter(({ id }) => id.toLowerCase().startsWith(prefix.toLowerCase())) } : await get(`v1/devices?${parameters}`, { signal });
		if (!prefix && !more) whole = page.next_token ? null : page.items;
		const items = page.items.map(({ id, type }) => el("li", {}, el("button", { type: "button", onclick: () => open({ id }), "data-id": id, "aria-current": String(id === device?.id) },
			el("span", {}, id), type && type !== id ? el("small", {}, type) : "")));
		if (!more) $.list.replaceChildren();
		$.list.append(...items);
		listed += items.length;
		after = page.next_token ?? "";
		$.more.hidden = !after;
		$.listed.textContent = listed ? `${plural(listed, "device")}${after ? ", and more" : ""}` : prefix ? `No device begins with that${whole ? "" : "; upper and lower case count"}.` : "No devices yet.";
	} catch (error) {
		if (signal.aborted) return;
		if (error.status !== 404) { $.listed.textContent = error.message; return; }
		$.browse.hidden = true; // neither a catalogue nor a store that can list
		$.typed.hidden = false;
		$.listed.textContent = "This server cannot list its devices. Type an id, and the properties to read.";
	}
}

// open shows a device.
async function open({ id, chosen = null, other = "", range = null, newest }) {
	const before = device?.own && device.id !== id ? device.chosen : []; // which this device may have, too
	leave();
	const { signal } = leaving = new AbortController();
	for (const one of $.list.querySelectorAll("button")) one.setAttribute("aria-current", String(one.dataset.id === id));
	document.title = `${id} · hotreader`;
	$.device.replaceChildren(el("h1", {}, id), el("p", { class: "empty", role: "status" }, "Loading…"));
	const next = { id, other: other ?? "", properties: [], chosen: chosen ?? [], follow: true, newest: new Map() };
	try {
		Object.assign(next, await get(devicePath(id), { signal }));
	} catch (error) {
		if (signal.aborted) return;
		if (error.status !== 404 || !chosen?.length) return failed(error);
		next.warnings = []; // not listed: what was typed is asked for
	}
	[next.first, next.last] = [next.first_time, next.last_time].map(time => Date.parse(time ?? ""));
	const known = new Set(next.properties.map(p => p.name));
	for (const name of next.chosen) if (!known.has(name)) next.properties.push({ name, type: null, unit: null, value: null });
	const chartable = next.properties.filter(p => p.value === null && p.name !== "time");
	if (!chosen) next.chosen = before.filter(name => chartable.some(p => p.name === name));
	next.own = next.chosen.length > 0;
	device = next;
	layout(chartable);
	try { await latest(signal); } catch (error) {
		if (signal.aborted) return;
		said([], error.message);
	}
	const times = [...device.newest.values()].map(v => Date.parse(v.time));
	device.last ||= Math.max(...times, 0) || Date.now();
	device.first ||= device.last - DAY;
	if (!device.chosen.length) choose(chartable);
	if (range?.every(Number.isFinite)) { device.follow = false; setRange(...range); } else preset(newest ?? (device.last - device.first > DAY ? DAY : Infinity));
	selected();
	watch(signal);
}

function failed(error) {
	$.device.append(el("p", { class: "error", role: "alert" }, error.message));
	$.device.querySelector(".empty")?.remove();
}

function layout(chartable) {
	const find = new Map();
	const tile = p => {
		const value = el("b", {}, p.value === null ? "…" : String(p.value)), age = el("small", {}, p.value === null ? "" : "constant");
		find.set(p.name, { value, age });
		const inside = [el("span", { class: "name" }, p.name), el("span", { class: "value" }, value, p.unit ? el("span", { class: "unit" }, ` ${p.unit}`) : ""), age];
		if (!chartable.includes(p)) return el("li", { class: "tile" }, ...inside);
		return el("li", {}, el("button", { type: "button", class: "tile", onclick: () => toggle(p.name), "data-name": p.name }, ...inside));
	};
	device.tiles = find;
	const all = el("ul", { class: "tiles", "aria-label": "Newest values. Choose those to chart" }, ...device.properties.map(tile));
	const filter = device.properties.length > 12 ? el("input", { type: "search", class: "filter", "aria-label": "Filter properties", placeholder: "Filter properties…", oninput: event => {
		device.properties.forEach((p, i) => { all.children[i].hidden = !p.name.toLowerCase().includes(event.target.value.toLowerCase()); });
	} }) : "";
	const edge = (name, label) => el("label", {}, label, $[name] = el("input", { type: "datetime-local", step: "1", onchange: () => typed(name) }), $[`${name}-offset`] = el("span"));
	$.presets = PRESETS.map(([text, length]) => button(text, () => { preset(length); load(); }, { "data-length": length, "aria-label": length === Infinity ? "All rows" : `Newest ${text}` }));
	const tool = (step, text, label) => button(text, () => view.step(step), { "aria-label": label, title: label });
	$.other = el("input", { list: "others", placeholder: "Another device…", value: device.other, autocomplete: "off", "aria-label": "Compare with another device", onchange: event => { device.other = event.target.value.trim(); load(); } });
	$.panels = el("div", { class: "panels", "aria-busy": "true" });
	$.notice = el("div", { class: "notices", role: "status" });
	$.csv = button("Download CSV", csv);
	$.progress = el("span", { class: "hint", role: "status" });
	$.extent = el("p", { class: "hint" });
	$.device.replaceChildren(
		el("h1", {}, device.id, device.type && device.type !== device.id ? el("small", {}, device.type) : ""), $.extent, filter, all,
		el("div", { class: "tools", role: "group", "aria-label": "Range of time" },
			el("div", { class: "group" }, ...$.presets),
			el("div", { class: "group" }, tool("left", "←", "Earlier"), tool("right", "→", "Later"), tool("in", "+", "Zoom in"), tool("out", "−", "Zoom out")),
			el("div", { class: "edges" }, edge("from", "From"), edge("to", "To")),
			el("div", { class: "edges" }, el("label", {}, "Compare", $.other), el("datalist", { id: "others" }, ...[...$.list.querySelectorAll("button")].map(one => el("option", { value: one.dataset.id }))))),
		$.notice, $.panels,
		el("div", { class: "row" }, $.csv, $.progress),
		el("p", { class: "hint", id: "chart-keys" }, `Drag to zoom, Shift and drag to move, double-click to zoom out. Keys on a chart: arrows move, + and − zoom, 0 shows all, Shift and arrows go from point to point. Times are those of ${zone}.`));
	said(device.warnings ?? []);
}

// choose takes the first properties to chart, numbers before others, and those without a
// value in the first range last.
function choose(chartable) {
	const names = chartable.map(p => p.name), numeric = names.filter(name => isNumber(device.newest.get(name)?.value));
	const recent = names.filter(name => Date.parse(device.newest.get(name)?.time) >= device.last - DAY);
	device.chosen = [...new Set([...numeric, ...recent, ...names])].slice(0, SHOWN);
}

function toggle(name) {
	device.own = true;
	device.chosen = device.chosen.includes(name) ? device.chosen.filter(p => p !== name) : [...device.chosen, name];
	selected();
}

// selected makes the panels of the chosen properties.
function selected() {
	const old = new Map(charts.filter(c => c.panel.isConnected).map(c => [c.property, c]));
	for (const one of $.device.querySelectorAll("button.tile")) one.setAttribute("aria-pressed", String(device.chosen.includes(one.dataset.name)));
	charts = device.chosen.map((name, i) => {
		const chart = old.get(name) ?? new Chart(name, device.properties.find(p => p.name === name)?.unit, view, "c0");
		chart.color = `c${i % 4}`;
		return chart;
	});
	$.panels.replaceChildren(...(charts.length ? charts.map(c => c.panel) : [el("p", { class: "empty" }, "Choose a property above to see its chart.")]));
	$.csv.disabled = charts.length === 0;
	load();
}

function setRange(from, to) {
	[from, to] = [Math.max(from, YEAR1), Math.min(to, YEAR9999)];
	if (to - from < SHORTEST) [from, to] = [(from + to - SHORTEST) / 2, (from + to + SHORTEST) / 2];
	view.range = [Math.round(from), Math.round(to)];
	const local = ms => new Date(ms - new Date(ms).getTimezoneOffset() * 6e4).toISOString().slice(0, 19);
	for (const [name, ms] of [["from", from], ["to", to]]) [$[name].value, $[`${name}-offset`].textContent] = [local(ms), twice(ms)];
	for (const one of $.presets) one.setAttribute("aria-pressed", String(device.follow && Number(one.dataset.length) === device.length));
}

// preset shows the newest part of the rows, and follows them.
function preset(length) {
	Object.assign(device, { follow: true, length });
	follow();
}

function follow() {
	const first = Math.min(device.first, device.last - 1);
	setRange(device.length === Infinity ? first : device.last - device.length, device.last + 1); // what is finer than a millisecond lies within
}

function zoom(from, to, wait = 60) {
	device.follow = false;
	setRange(from, to);
	draw();
	load(wait);
}

function step(what) {
	const [from, to] = view.range, length = to - from, by = length / 4;
	({
		left: () => zoom(from - by, to - by, 0), right: () => zoom(from + by, to + by, 0), in: () => zoom(from + by, to - by, 0), out: () => zoom(from - length / 2, to + length / 2, 0),
		all: () => { preset(Infinity); draw(); load(); },
	})[what]();
}

// typed takes one end from its field; the other stays as exact as it is.
function typed(name) {
	const [from, to] = view.range.map((ms, i) => (name === ["from", "to"][i] ? new Date($[name].value).getTime() : ms));
	if (from < to) zoom(from, to, 0);
	else said([], "The range ends before it begins.");
}

function point(time) { view.cursor = time; draw(); }

let drawing = 0;
function draw() {
	drawing ||= requestAnimationFrame(() => { drawing = 0; for (const chart of charts) chart.draw(); });
}

// load asks for what the range shows: about as many rows as there are pixels, and the
// line is the one of all rows. What was asked before is cancelled.
let delay;
function load(wait = 0) {
	clearTimeout(delay);
	loading?.abort();
	if (!device) return;
	remember();
	if (!charts.length) return;
	const { signal } = loading = new AbortController();
	$.panels.setAttribute("aria-busy", "true");
	delay = setTimeout(() => fetchRows(signal).catch(error => {
		if (signal.aborted) return;
		$.panels.setAttribute("aria-busy", "false");
		said([], error.message);
	}), wait);
}

function instants() { return view.range.map(ms => new Date(ms).toISOString()); }

async function fetchRows(signal) {
	const shown = device, chosen = charts.map(c => c.property), [start, end] = instants();
	const most = 16000 / Math.max(4, chosen.length); // each property brings its own points
	const points = Math.round(Math.max(40, Math.min(most, 4 * $.panels.clientWidth)));
	const parameters = new URLSearchParams({ property: list(chosen), start, end, points });
	const ids = [shown.id, ...(shown.other && shown.other !== shown.id ? [shown.other] : [])];
	const answers = await Promise.all(ids.map(id => pages(`${devicePath(id)}/history`, parameters, signal)));
	if (signal.aborted || device !== shown) return;
	for (const chart of charts) chart.show(answers.map((answer, i) => new Series(ids[i], chart.property, answer.items)));
	$.panels.setAttribute("aria-busy", "false");
	said(answers.flatMap(answer => answer.warnings));
	performance.mark("hotreader-drawn");
}

const ADVICE = {
	mixed_kinds: ": for this page as dataType of the property in the project's config_iot_devices.json, which serve --project reads and deploy packs; in a request of your own as type=NAME=double",
	changes_not_picked: ". On this page: zoom in until this notice is gone, or take Download CSV, which has each row",
};

function said(warnings, error) {
	$.notice.replaceChildren(...(error ? [el("p", { class: "error", role: "alert" }, error, " ", button("Try again", () => load()))] : []),
		...(warnings.length ? [el("div", { class: "notice" }, el("strong", {}, "About these values"), el("ul", {}, ...warnings.map(({ code, message }) => el("li", {}, message, ADVICE[code] ?? ""))))] : []));
}

// remember writes what is shown into the address; the token is never there.
function remember() {
	const [from, to] = instants();
	link(new URLSearchParams({ d: device.id, p: list(device.chosen), ...(device.other && { with: device.other }), ...(device.follow ? { newest: device.length === Infinity ? "all" : `${device.length / HOUR}h` } : { from, to }) }));
}

async function latest(signal) {
	const all = device.properties.filter(p => p.value === null && p.name !== "time").map(p => p.name), newest = new Map();
	for (let i = 0; i < all.length; i += AT_ONCE) {
		const page = await get(`${devicePath(device.id)}/latest?${new URLSearchParams({ property: list(all.slice(i, i + AT_ONCE)) })}`, { signal });
		for (const item of page.items) for (const [name, value] of Object.entries(item)) if (name !== "time" && value !== null) newest.set(name, { value, time: item.time });
	}
	device.newest = newest;
	aged();
}

function aged() {
	for (const [name, { value, age }] of device.tiles) {
		const now = device.newest.get(name);
		if (now) [value.className, value.textContent, value.title, age.textContent, age.title] = [isNumber(now.value) ? "digits" : "", String(now.value), String(now.value), ago(Date.now() - Date.parse(now.time)), now.time];
		else if (value.textContent === "…") value.textContent = "no value";
	}
	const { first, last } = device;
	$.extent.textContent = device.first_time ? `${span(last - first, 1)} of rows, from ${localTime(first)} to ${localTime(last)}.` : "";
}

// watch asks for the newest values for as long as the device is shown and the tab seen.
async function watch(signal) {
	for (let drawn = Date.now(); !signal.aborted;) {
		await new Promise(resolve => { setTimeout(resolve, poll); });
		if (signal.aborted || document.hidden || byId("explore").hidden) continue;
		try { await latest(signal); } catch (error) {
			if (signal.aborted) return;
			if (error instanceof Problem && error.status === 401) return; // the form asks for the token
			continue;
		}
		const last = Math.max(...[...device.newest.values()].map(v => Date.parse(v.time)), 0);
		if (last <= device.last) continue;
		device.last = last;
		// A long range is not read anew each time that a row comes.
		if (!device.follow || view.cursor !== null || Date.now() - drawn < Math.max(poll, (view.range[1] - view.range[0]) / 2000)) continue;
		drawn = Date.now();
		follow();
		load();
	}
}

// csv downloads every row of the range, page after page. The token goes in a header, so
// no link could do it.
async function csv() {
	const stop = new AbortController(), [start, end] = instants(), chosen = charts.map(c => c.property), parts = [];
	leaving.signal.addEventListener("abort", () => stop.abort(), { once: true });
	const cancel = button("Cancel", () => stop.abort());
	$.csv.disabled = true;
	$.csv.after(cancel);
	let left = 0, bytes = 0;
	try {
		for (let query = `?${new URLSearchParams({ property: list(chosen), start, end, format: "csv" })}`; query;) {
			const { response, body } = await ask(`${devicePath(device.id)}/history${query}`, { accept: "text/csv", signal: stop.signal });
			left += Number(response.headers.get("Warning-Count"));
			parts.push(parts.length ? body.slice(body.indexOf("\n") + 1) : body);
			bytes += body.length;
			$.progress.textContent = `${size(bytes)}…`;
			query = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
		}
		download(`${device.id.replace(/[^\w.-]+/g, "_")}_${start.slice(0, 19).replace(/\D/g, "")}.csv`, new Blob(parts, { type: "text/csv" }));
		$.progress.textContent = `${size(bytes)} downloaded.${left ? ` ${plural(left, "warning")}: some values were left out; the notice above the charts says which.` : ""}`;
	} catch (error) {
		$.progress.textContent = stop.signal.aborted ? "Cancelled." : error.message;
	}
	cancel.remove();
	$.csv.disabled = false;
}
