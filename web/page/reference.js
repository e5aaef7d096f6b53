// The API's reference, out of its OpenAPI document, with each route to try.
import { byId, el, size } from "./dom.js";
import { headers } from "./client.js";

const MOST = 20000; // characters of an answer that are shown

export function start(document) {
	const resolve = node => (node?.$ref ? node.$ref.slice(2).split("/").reduce((at, name) => at[name], document) : node);
	const routes = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => route(method.toUpperCase(), path, operation, resolve)));
	byId("api").replaceChildren(el("h1", { id: "api-title" }, "API"),
		el("p", {}, "Every request carries the token, as ", el("code", {}, "Authorization: Bearer"), ". Open a route to read about it and to try it. The whole description: ", el("a", { href: "openapi.json" }, "openapi.json"), ` (version ${document.info.version}).`), ...routes);
}

function route(method, path, operation, resolve) {
	const parameters = (operation.parameters ?? []).map(resolve), fields = new Map(), id = operation.operationId;
	const rows = parameters.map(p => {
		const name = `${id}-${p.name}`, choices = p.schema?.enum;
		const input = choices ? el("select", { id: name }, el("option", { value: "" }, ""), ...choices.map(c => el("option", {}, c))) : el("input", { id: name, autocomplete: "off", placeholder: p.example ?? null });
		if (p.required) input.required = true;
		input.setAttribute("aria-describedby", `${name}-help`);
		fields.set(p, input);
		return el("div", { class: "field" }, el("label", { for: name }, p.name, p.required ? el("small", {}, " required") : ""), input, el("p", { class: "hint", id: `${name}-help` }, p.description ?? ""));
	});
	const body = operation.requestBody && el("textarea", { id: `${id}-body`, rows: "8", spellcheck: "false" }, JSON.stringify({
		target_layer: "L3-Hot-Read", message_type: "query", payload: { iot_device_id: "pump-7", selected_properties: ["temperature"], start_time: "2026-01-01T00:00:00Z", end_time: "2027-01-01T00:00:00Z", max_results: 10 } }, null, 2));
	if (body) rows.push(el("div", { class: "field" }, el("label", { for: body.id }, "Body"), body));
	const result = el("div", { class: "result", role: "status" });
	const form = el("form", { onsubmit: event => { event.preventDefault(); send(method, address(path, fields), body?.value, result); } }, ...rows, el("button", { type: "submit", class: "main" }, "Send"), result);
	return el("details", { class: "route" }, el("summary", {}, el("b", { class: "method" }, method), " ", el("code", {}, path), el("span", {}, operation.summary ?? "")),
		...(operation.description ? [el("p", {}, operation.description)] : []), form);
}

function address(path, fields) {
	const query = new URLSearchParams();
	for (const [p, { value }] of fields) {
		if (p.in === "path") path = path.replace(`{${p.name}}`, encodeURIComponent(value));
		else if (value !== "") query.append(p.name, value);
	}
	return path.slice(1) + (query.size ? `?${query}` : "");
}

async function send(method, url, body, result) {
	const began = performance.now();
	result.replaceChildren("Asking…");
	const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
	const command = `curl -H "Authorization: Bearer $INTER_CLOUD_TOKEN"${body ? ` -H 'Content-Type: application/json' -d ${quoted(body)}` : ""} ${quoted(new URL(url, document.baseURI).href)}`;
	try {
		const response = await fetch(url, { method, headers: { ...headers("application/json"), ...(body && { "Content-Type": "application/json" }) }, body, cache: "no-store", credentials: "omit" });
		let text = await response.text();
		const told = `${response.status} ${response.statusText} · ${Math.round(performance.now() - began)} ms · ${size(text.length)} · ${response.headers.get("Content-Type")}`;
		try { if (text.length < MOST) text = indented(text); } catch { /* as it came */ }
		result.replaceChildren(el("p", { class: response.ok ? "good" : "error" }, told), ...code("Answer", text.length > MOST ? `${text.slice(0, MOST)}\n… (the first ${MOST} characters)` : text), ...code("The same with curl", command));
	} catch {
		result.replaceChildren(el("p", { class: "error" }, "The server does not answer. Try again when it is back."), ...code("The same with curl", command));
	}
}

const code = (label, text) => [el("h2", {}, label), el("pre", { tabindex: "0", role: "group", "aria-label": label }, text)];

// indented spreads JSON over lines and leaves each number's digits alone.
const indented = text => { JSON.parse(text); return text.replace(/\{"time"/g, "\n  $&").replace(/(\],?"(?:next_token|warnings))/g, "\n$1"); };
