// The one way to the API: the token, problems in words, and trying again.

let token = ""; // in the memory of this tab alone
export const setToken = text => { token = text; };
export const authorized = () => token !== "";

// server tells with "change" whether the server answers.
export const server = new EventTarget();
server.away = false;

function reached(is) {
	if (server.away === !is) return;
	server.away = !is;
	server.dispatchEvent(new Event("change"));
}

let wake = [];
export function tryNow() {
	for (const go of wake.splice(0)) go();
}

function sleep(ms, signal) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(resolve, ms);
		wake.push(resolve);
		signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
	});
}

// Problem is an answer that is no success.
export class Problem extends Error {
	constructor(status, text, retry) {
		let told = {};
		try { told = JSON.parse(text); } catch { /* a proxy's page: its status must do */ }
		super([told.title || `The server answers ${status}`, told.detail].filter(Boolean).join(": ") + (told.trace_id ? ` (trace ${told.trace_id})` : ""));
		Object.assign(this, { status, code: told.code, retry });
	}
}

export const headers = accept => ({ Accept: accept, ...(token && { Authorization: `Bearer ${token}` }) });

// ask sends a GET and returns the response and its body. A server that is gone is asked
// again until it is back or signal ends that; one that has too much to do, five times.
export async function ask(path, { signal, accept = "application/json", as = "text" } = {}) {
	for (let tries = 0; ; tries++) {
		let response, body;
		try {
			response = await fetch(path, { headers: headers(accept), signal, cache: "no-store", credentials: "omit", redirect: "error" });
			body = await (response.ok ? response[as]() : response.text());
		} catch (error) {
			if (signal?.aborted) throw error;
			reached(false);
			await sleep(Math.min(500 * 2 ** tries, 5000), signal);
			continue;
		}
		reached(true);
		if (response.ok) return { response, body };
		const problem = new Problem(response.status, body, Number(response.headers.get("Retry-After")) || 1);
		if (response.status === 401) server.dispatchEvent(new Event("refused"));
		if (![429, 503].includes(response.status) || tries >= 5) throw problem;
		await sleep(Math.min(problem.retry, 10) * 1000, signal);
	}
}

// Digits is a number with the digits that the store has.
class Digits extends Number {
	constructor(value, text) { super(value); this.text = text; }
	toString() { return this.text; }
}

// parse reads JSON and keeps a number's digits where String would change them.
export const parse = text => JSON.parse(text, (key, value, context) =>
	typeof value === "number" && context?.source && context.source !== String(value) ? new Digits(value, context.source) : value);

export const isNumber = value => typeof value === "number" || value instanceof Number;

export const get = async (path, options) => parse((await ask(path, options)).body);

// pages follows an answer to its end: an answer is whole, or it is an error.
export async function pages(path, parameters, signal) {
	const whole = { items: [], warnings: [] };
	for (let next = ""; next !== null;) {
		const page = await get(`${path}?${parameters}${next && `&next_token=${encodeURIComponent(next)}`}`, { signal });
		whole.items = whole.items.concat(page.items);
		whole.warnings.push(...(page.warnings ?? []));
		next = page.next_token ?? null;
	}
	return whole;
}

export const devicePath = id => `v1/devices/${encodeURIComponent(id)}`;

// list writes names as the API's lists have them: as a line of CSV.
export const list = names => names.map(name => (/^[\w.\- ]+$/.test(name) && name.trim() === name ? name : `"${name.replaceAll('"', '""')}"`)).join(",");

// names reads such a list, as people type it.
export function names(text) {
	const all = [];
	for (const [, quoted, plain] of text.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)/g)) {
		const name = quoted?.replaceAll('""', '"') ?? plain.trim();
		if (name && !all.includes(name)) all.push(name);
	}
	return all;
}
