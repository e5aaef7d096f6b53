// A panel: one property of one or two devices over time, on a canvas, with its values
// under the pointer and a table behind it.
import { count, el, localTime, plural, twice, zone } from "./dom.js";

const SECOND = 1e3, MINUTE = 6e4, HOUR = 36e5, DAY = 864e5;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
	[1, 2, 5, 10, 15, 30].map(n => n * SECOND), [1, 2, 5, 10, 15, 30].map(n => n * MINUTE), [1, 2, 3, 6, 12].map(n => n * HOUR), [1, 2, 7, 14].map(n => n * DAY));
const TALL = 150, LOW = 84, LEFT = 62, RIGHT = 12, TOP = 8, BOTTOM = 22, ROWS = 100, KEYS = 12;

const format = options => new Intl.DateTimeFormat(undefined, options);
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const labels = {
	fine: format({ minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 }),
	second: format({ ...clock, second: "2-digit" }), minute: format(clock),
	day: format({ day: "numeric", month: "short" }), month: format({ month: "short", year: "numeric" }),
};

// timeTicks returns at most so many times for the axis, whole ones of the local clock,
// which goes back or ahead twice a year, by quarters of an hour.
export function timeTicks(from, to, most) {
	const step = STEPS.find(s => (to - from) / s <= most), all = [];
	const start = new Date(from);
	if (step < DAY) {
		const midnight = new Date(start.getFullYear(), start.getMonth(), start.getDate()).getTime();
		const grain = Math.min(step, 15 * MINUTE), whole = t => (new Date(t).getHours() * HOUR + new Date(t).getMinutes() * MINUTE) % step === 0;
		for (let t = midnight + Math.ceil((from - midnight) / grain) * grain; t <= to; t += grain) if (grain === step || whole(t)) all.push(t);
	} else if (step) {
		for (let d = new Date(start.getFullYear(), start.getMonth(), start.getDate()); d <= to; d.setDate(d.getDate() + step / DAY)) if (d >= from) all.push(d.getTime());
	} else {
		const months = [1, 3, 12, 60, 240, 1200].find(m => (to - from) / (m * 30 * DAY) <= most) ?? 12000;
		for (let d = new Date(start.getFullYear(), 0, 1); d <= to; d.setMonth(d.getMonth() + months)) if (d >= from) all.push(d.getTime());
	}
	return all.map(t => {
		const midnight = new Date(t).getHours() === 0 && t % MINUTE === 0 && new Date(t).getMinutes() === 0;
		const kind = !step ? "month" : step >= DAY || midnight ? "day" : step >= MINUTE ? "minute" : step >= SECOND ? "second" : "fine";
		return [t, labels[kind].format(t) + (step < DAY ? twice(t) : "")];
	});
}

function valueTicks(low, high, most) {
	const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10].find(n => n * power >= raw) * power, all = [];
	const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
	for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
		const v = i * step + 0; // never -0
		all.push([v, Math.abs(v) >= 1e7 || (step < 1e-5) ? v.toExponential(2).replace("e+", "e") : v.toFixed(digits)]);
	}
	return all;
}

// color gives each new text a hue and a shade: by what it says, or the ones that are farthest
// from all others where it would be near one. A text keeps them, so that no zoom changes them.
const HUES = 16, APART = 2;
function color(colors, texts) {
	for (const text of texts.filter(text => !colors.has(text))) {
		const taken = [...colors.values()].slice(colors.size - colors.size % HUES).map(({ n }) => n);
		const apart = n => Math.min(HUES, ...taken.map(other => Math.min((n - other + HUES) % HUES, (other - n + HUES) % HUES)));
		let n = 0;
		for (const c of text.toLowerCase()) n = (n * 51407 + c.codePointAt()) % 99991; // alarm and fault become red, run does not
		n %= HUES;
		if (apart(n) < APART) for (let k = 0; k < HUES; k++) if (apart(k) > apart(n)) n = k;
		colors.set(text, { n, hue: n * 360 / HUES, shade: (n + 1) % 2 });
	}
}

// before returns the index of the last time that is not after t; -1 = none.
function before(times, t) {
	let low = 0, high = times.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (times[middle] <= t) low = middle + 1; else high = middle;
	}
	return low - 1;
}

// Series is one property of one device, out of the rows of an answer.
export class Series {
	constructor(label, property, rows) {
		this.label = label;
		this.rows = rows.filter(row => row[property] !== null && row[property] !== undefined).map(row => [row.time, row[property]]);
		this.times = this.rows.map(([time]) => Date.parse(time));
		const texts = this.rows.filter(([, value]) => typeof value === "string").length;
		this.texts = texts > 0 && 2 * texts >= this.rows.length; // fewer are gaps in a line
		this.flags = this.rows.some(([, value]) => typeof value === "boolean");
	}

	at(t) { // the row nearest to a time
		const i = before(this.times, t);
		return this.rows[i + 1] && (i < 0 || this.times[i + 1] - t < t - this.times[i]) ? i + 1 : i;
	}
}

// Chart is a panel. view has the range that all panels share: range, cursor, and
// zoom(from, to), point(time) to change them.
export class Chart {
	series = [];
	colors = new Map(); // of the texts that were seen

	constructor(property, unit, view, color) {
		Object.assign(this, { property, view, color });
		this.pointers = new Map();
		this.readout = el("span", { class: "readout" });
		this.canvas = el("canvas", { role: "img" });
		this.frame = el("div", { class: "plot", tabindex: "0", role: "group", "aria-describedby": "chart-keys", "aria-label": `Chart of ${property}` }, this.canvas);
		this.body = el("tbody");
		this.caption = el("caption");
		this.more = el("button", { type: "button", onclick: () => this.fill(this.shown + ROWS) });
		this.table = el("details", { class: "rows", ontoggle: () => this.fill(ROWS) }, el("summary", {}, "Table of ", el("span", {}, property)),
			el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Rows of ${property}` },
				el("table", {}, this.caption, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Time (UTC)"), el("th", { scope: "col" }, "Device"), el("th", { scope: "col", class: "number" }, "Value"))), this.body)), this.more);
		this.legend = el("ul", { class: "legend", "aria-label": `Colours of ${property}` });
		this.panel = el("article", { class: "panel" }, el("header", {}, el("h2", {}, property, unit ? el("span", { class: "unit" }, ` ${unit}`) : ""), this.readout), this.frame, this.legend, this.table);
		this.listen();
	}

	show(series) {
		this.series = series;
		this.numbers = series.every(one => !one.texts);
		this.canvas.setAttribute("aria-label", this.summary());
		this.key();
		if (this.table.open) this.fill(ROWS);
		this.draw();
	}

	summary() {
		return this.series.map(one => {
			if (one.rows.length === 0) return `${this.property} of ${one.label}: no values in this range.`;
			const [first, last] = [one.rows[0], one.rows.at(-1)];
			const values = this.numbersOf(one).filter(v => !Number.isNaN(v)), extreme = than => values.reduce((best, v) => (than(v, best) ? v : best));
			const extent = this.numbers && !one.flags ? ` Lowest ${extreme((a, b) => a < b)}, highest ${extreme((a, b) => a > b)}.` : "";
			return `${this.property} of ${one.label}: ${plural(one.rows.length, "point")} from ${localTime(one.times[0])} to ${localTime(one.times.at(-1))}. First ${first[1]}, last ${last[1]}.${extent}`;
		}).join(" ");
	}

	// key says which colour is which text.
	key() {
		const shown = this.numbers ? [] : [...new Set(this.series.flatMap(one => one.rows.map(([, value]) => String(value))))].sort();
		color(this.colors, shown);
		this.legend.replaceChildren(...shown.slice(0, KEYS).map(text => {
			const item = el("li", { title: text }, text), { hue, shade } = this.colors.get(text);
			item.style.setProperty("--swatch", `var(--band${shade}) ${hue}`);
			return item;
		}), ...(shown.length > KEYS ? [el("li", { class: "more" }, `and ${count(shown.length - KEYS)} more`)] : []));
	}

	numbersOf(one) { return one.numbers ??= one.rows.map(([, value]) => (typeof value === "string" ? NaN : Number(value))); }

	fill(most) {
		const all = this.series.flatMap(one => one.rows.map(([time, value]) => [time, one.label, value]));
		this.shown = Math.min(most, all.length);
		this.caption.textContent = all.length === 0 ? "No values in this range." : `The first ${count(this.shown)} of ${plural(all.length, "point")} that are drawn`;
		this.body.replaceChildren(...all.slice(0, this.shown).map(([time, label, value]) =>
			el("tr", {}, el("td", {}, time), el("td", {}, label), el("td", { class: "number" }, String(value)))));
		this.more.hidden = this.shown === all.length;
		this.more.textContent = `Show ${Math.min(ROWS, all.length - this.shown)} more`;
	}

	x(t) { const [from, to] = this.view.range; return LEFT + (t - from) / (to - from) * (this.width - LEFT - RIGHT); }
	time(x) { const [from, to] = this.view.range; return from + (x - LEFT) / (this.width - LEFT - RIGHT) * (to - from); }

	draw() {
		const scale = devicePixelRatio || 1, style = getComputedStyle(this.panel);
		this.width = this.frame.clientWidth;
		if (!this.width) return;
		this.canvas.width = this.width * scale;
		this.height = this.numbers && !this.series.some(one => one.flags) ? TALL : LOW;
		this.canvas.height = this.height * scale;
		this.canvas.style.height = `${this.height}px`;
		const g = this.g = this.canvas.getContext("2d");
		g.scale(scale, scale);
		g.font = `12px ${style.fontFamily}`;
		this.ink = name => style.getPropertyValue(`--${name}`);
		this.y = null;
		this.axis();
		g.save();
		g.beginPath();
		g.rect(LEFT, 0, this.width - LEFT - RIGHT, this.height - BOTTOM + 1);
		g.clip();
		if (this.numbers) this.lines(); else this.bands();
		this.marks();
		g.restore();
		this.read();
	}

	axis() {
		const { g, width, height } = this, bottom = height - BOTTOM;
		g.strokeStyle = this.ink("grid");
		g.fillStyle = this.ink("muted");
		g.lineWidth = 1;
		g.textAlign = "center";
		for (const [t, label] of timeTicks(...this.view.range, Math.max(2, Math.floor((width - LEFT) / 90)))) {
			const x = Math.round(this.x(t)) + 0.5;
			g.beginPath(); g.moveTo(x, TOP); g.lineTo(x, bottom); g.stroke();
			const half = g.measureText(label).width / 2;
			g.fillText(label, Math.min(Math.max(x, half), width - half), height - 6);
		}
		g.beginPath(); g.moveTo(LEFT, bottom + 0.5); g.lineTo(width - RIGHT, bottom + 0.5); g.stroke();
	}

	extent() {
		let low = Infinity, high = -Infinity;
		const [from, to] = this.view.range;
		for (const one of this.series) {
			const values = this.numbersOf(one);
			for (let i = Math.max(0, before(one.times, from)), end = Math.min(values.length, before(one.times, to) + 2); i < end; i++) {
				if (values[i] < low) low = values[i];
				if (values[i] > high) high = values[i];
			}
		}
		if (!(low <= high)) return null;
		const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
		return [low - room, high + room];
	}

	lines() {
		const { g } = this, flags = this.series.length > 0 && this.series.every(one => one.flags);
		const extent = flags ? [-0.15, 1.15] : this.extent();
		if (!extent) return this.say("No values in this range");
		const [low, high] = extent;
		const y = this.y = v => TOP + (high - v) / (high - low) * (this.height - BOTTOM - TOP);
		g.restore(); // labels stand outside of what is clipped
		g.textAlign = "right";
		g.strokeStyle = this.ink("grid");
		g.fillStyle = this.ink("muted");
		for (const [v, label] of flags ? [[0, "false"], [1, "true"]] : valueTicks(low, high, 5)) {
			const at = Math.round(y(v)) + 0.5;
			g.beginPath(); g.moveTo(LEFT, at); g.lineTo(this.width - RIGHT, at); g.stroke();
			g.fillText(label, LEFT - 8, at + 4);
		}
		g.save();
		g.beginPath(); g.rect(LEFT, 0, this.width - LEFT - RIGHT, this.height); g.clip();
		this.series.forEach((one, i) => this.line(one, i, y));
	}

	line(one, i, y) {
		const { g } = this, values = this.numbersOf(one), [from, to] = this.view.range;
		g.strokeStyle = g.fillStyle = this.ink(i ? "other" : this.color);
		g.lineWidth = 1.5;
		g.lineJoin = "round";
		g.setLineDash(i ? [5, 3] : []);
		g.beginPath();
		const first = Math.max(0, before(one.times, from)), end = Math.min(values.length, before(one.times, to) + 2);
		for (let k = first; k < end; k++) {
			if (one.flags && k > first) g.lineTo(this.x(one.times[k]), y(values[k - 1]));
			if (k > first && Number.isNaN(values[k - 1])) g.moveTo(this.x(one.times[k]), y(values[k]));
			else g.lineTo(this.x(one.times[k]), y(values[k])); // a canvas ignores NaN
		}
		g.stroke();
		g.setLineDash([]);
		if (end - first > this.width / 12) return;
		for (let k = first; k < end; k++) { g.beginPath(); g.arc(this.x(one.times[k]), y(values[k]), 2.5, 0, 7); g.fill(); }
	}

	// bands draws texts: a strip of colour for as long as a text stays.
	bands() {
		const { g } = this, height = (this.height - BOTTOM - TOP) / Math.max(1, this.series.length), to = this.view.range[1];
		if (this.series.every(one => one.rows.length === 0)) return this.say("No values in this range");
		this.series.forEach((one, i) => {
			const top = TOP + i * height + 4;
			for (let k = 0, next; k < one.rows.length; k = next) {
				const text = String(one.rows[k][1]), { hue, shade } = this.colors.get(text);
				for (next = k + 1; next < one.rows.length && String(one.rows[next][1]) === text;) next++;
				const x = this.x(one.times[k]), width = this.x(next < one.rows.length ? one.times[next] : Math.min(to, one.times.at(-1) + 1)) - x;
				g.fillStyle = `oklch(${this.ink(`band${shade}`)} ${hue})`;
				g.fillRect(x, top, Math.max(width, 2), height - 8);
				const left = Math.max(x, LEFT) + 6, room = x + width - left - 4;
				if (room > 16 && g.measureText(text).width <= room) { // else the legend says it
					g.fillStyle = this.ink("ink");
					g.textAlign = "left";
					g.fillText(text, left, top + height / 2);
				}
			}
		});
	}

	say(text) {
		this.g.fillStyle = this.ink("muted");
		this.g.textAlign = "center";
		this.g.fillText(text, LEFT + (this.width - LEFT) / 2, this.height / 2 - 6);
	}

	marks() {
		const { g, view, drag } = this;
		if (drag?.select) {
			g.fillStyle = this.ink("select");
			g.fillRect(Math.min(drag.x, drag.now), TOP, Math.abs(drag.now - drag.x), this.height - BOTTOM - TOP);
		}
		if (view.cursor === null) return;
		const x = Math.round(this.x(view.cursor)) + 0.5;
		g.strokeStyle = this.ink("muted");
		g.lineWidth = 1;
		g.beginPath(); g.moveTo(x, TOP); g.lineTo(x, this.height - BOTTOM); g.stroke();
		this.series.forEach((one, i) => {
			const k = one.at(view.cursor);
			if (k < 0 || !this.numbers || !this.y) return;
			g.fillStyle = this.ink(i ? "other" : this.color);
			g.beginPath(); g.arc(this.x(one.times[k]), this.y(this.numbersOf(one)[k]), 4, 0, 7); g.fill();
		});
	}

	// read says the values under the pointer. Without one it only says whose line is which.
	read() {
		const { cursor } = this.view;
		if (cursor === null && this.series.length < 2) return this.readout.replaceChildren();
		this.readout.replaceChildren(...this.series.flatMap((one, i) => {
			const k = cursor === null ? one.rows.length - 1 : one.at(cursor);
			if (k < 0) return [];
			const name = this.series.length > 1 ? `${i ? "┄" : "━"} ${one.label} ` : "";
			return [el("span", { class: i ? "other" : this.color }, name, cursor === null ? "" : el("b", {}, String(one.rows[k][1]))), cursor === null ? "" : el("span", { class: "when" }, localTime(one.times[k]))];
		}));
	}

	listen() {
		const { frame, view } = this;
		const place = event => event.clientX - frame.getBoundingClientRect().left;
		frame.addEventListener("pointerdown", event => {
			if (event.button) return;
			frame.setPointerCapture(event.pointerId);
			this.pointers.set(event.pointerId, place(event));
			this.drag = { x: place(event), now: place(event), range: [...view.range], select: event.pointerType !== "touch" && !event.shiftKey, from: [...this.pointers.values()] };
		});
		frame.addEventListener("pointermove", event => {
			const x = place(event), { drag } = this;
			if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, x);
			if (!drag) return view.point(this.time(x));
			drag.now = x;
			if (drag.select) return view.point(this.time(x));
			const [from, to] = drag.range, per = (to - from) / (this.width - LEFT - RIGHT), all = [...this.pointers.values()];
			if (all.length < 2) return view.zoom(from - (x - drag.x) * per, to - (x - drag.x) * per);
			const wide = a => Math.max(20, Math.abs(a[0] - a[1])), middle = a => (a[0] + a[1]) / 2;
			const length = (to - from) * wide(drag.from) / wide(all), fixed = from + (middle(drag.from) - LEFT) * per;
			const start = fixed - (middle(all) - LEFT) / (this.width - LEFT - RIGHT) * length;
			view.zoom(start, start + length);
		});
		const end = event => {
			const { drag } = this;
			this.pointers.delete(event.pointerId);
			this.drag = null;
			if (event.type !== "pointerup" || !drag?.select) return;
			if (Math.abs(drag.now - drag.x) > 5) view.zoom(...[this.time(drag.x), this.time(drag.now)].sort((a, b) => a - b));
			else view.point(this.time(drag.x));
		};
		frame.addEventListener("pointerup", end);
		frame.addEventListener("pointercancel", end);
		frame.addEventListener("pointerleave", () => { if (!this.drag) view.point(null); });
		frame.addEventListener("dblclick", () => view.step("out"));
		frame.addEventListener("wheel", event => {
			if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
			event.preventDefault();
			const [from, to] = view.range, at = this.time(place(event));
			if (event.ctrlKey || event.metaKey) {
				const by = 2 ** (event.deltaY / 200);
				view.zoom(at - (at - from) * by, at + (to - at) * by);
			} else view.zoom(from + event.deltaX * (to - from) / this.width, to + event.deltaX * (to - from) / this.width);
		}, { passive: false });
		frame.addEventListener("keydown", event => {
			const step = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all", Home: "all" }[event.key];
			if (event.ctrlKey || event.metaKey || event.altKey || !step) return;
			event.preventDefault();
			if (event.shiftKey && event.key.startsWith("Arrow")) this.walk(step === "left" ? -1 : 1);
			else view.step(step);
		});
	}

	// walk moves the cursor to the next point, and says it.
	walk(by) {
		const one = this.series[0], { view } = this, [from, to] = view.range;
		if (!one?.rows.length) return;
		let k = view.cursor === null ? before(one.times, by > 0 ? from - 1 : to) + (by > 0 ? 1 : 0) : one.at(view.cursor) + by;
		k = Math.min(Math.max(k, 0), one.rows.length - 1);
		view.point(one.times[k]);
		view.announce(`${this.property} ${one.rows[k][1]}, ${localTime(one.times[k])} ${zone}`);
	}
}
