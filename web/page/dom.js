// Small helpers for elements and texts.

// el makes an element. Strings become text, never markup: names and values come from
// devices, and may say anything.
export function el(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
	}
	element.append(...children);
	return element;
}

export const byId = id => document.getElementById(id);

const number = new Intl.NumberFormat("en");
export const count = n => number.format(n);

export const plural = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;

const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
export const localTime = ms => stamp.format(ms) + twice(ms);

// twice returns the offset of a time whose hour the local clock shows twice, else "".
const shift = (from, to) => new Date(to).getTimezoneOffset() - new Date(from).getTimezoneOffset();
const offset = new Intl.DateTimeFormat(undefined, { timeZoneName: "shortOffset" });
export function twice(ms) {
	if (![30, 60].some(n => shift(ms, ms + n * 6e4) === n || shift(ms - n * 6e4, ms) === n)) return "";
	return ` ${offset.formatToParts(ms).find(part => part.type === "timeZoneName").value}`;
}

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

// span says a length of time in its largest unit, and in as many more as are asked for.
export function span(ms, more = 0) {
	for (const [unit, size] of [["d", 864e5], ["h", 36e5], ["min", 6e4], ["s", 1e3]]) {
		if (ms >= size) return `${Math.floor(ms / size)} ${unit}${more && ms % size >= 1e3 ? ` ${span(ms % size, more - 1)}` : ""}`;
	}
	return "0 s";
}

export const ago = ms => (ms < 0 ? `in ${span(-ms)}` : ms < 1500 ? "just now" : `${span(ms)} ago`);

const media = ["B", "kB", "MB", "GB"];
export function size(bytes) {
	let unit = 0;
	for (; bytes >= 1000 && unit < media.length - 1; unit++) bytes /= 1000;
	return `${bytes >= 100 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${media[unit]}`;
}

// download hands a file to the browser.
export function download(name, blob) {
	const link = el("a", { href: URL.createObjectURL(blob), download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
