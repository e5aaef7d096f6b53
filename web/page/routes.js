// The demo's nine routes, and what their checks found.
import { ago, byId, count, el, size } from "./dom.js";
import { get } from "./client.js";

const columns = ["Twin (L4)", "Hot storage (L3)", "Path", "Points compared", "Pages", "On the wire", "Time", "Checked", "Result"];

export async function start() {
	const body = el("tbody"), verdict = el("p", { class: "verdict", role: "status" }), clouds = el("ul", { class: "clouds" });
	byId("routes").replaceChildren(el("h1", { id: "routes-title" }, "Nine routes"),
		el("p", {}, "Three clouds on this machine, each with a store, an API and a token of its own. The demo asks one route each second as AWS IoT TwinMaker does, and compares every point with what was written."), verdict,
		el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Routes" }, el("table", {}, el("caption", {}, "From each twin’s cloud to each cloud of hot storage"),
			el("thead", {}, el("tr", {}, ...columns.map((c, i) => el("th", { scope: "col", class: i > 2 && i < 8 ? "number" : null }, c)))), body)),
		el("h2", {}, "Clouds"), clouds);
	for (let first = true; ; first = false) {
		if (first || !document.hidden && !byId("routes").hidden) {
			const demo = await get("page/demo.json");
			const wrong = demo.routes.filter(r => !r.ok).length, points = demo.routes.reduce((sum, r) => sum + r.points, 0);
			verdict.className = `verdict ${wrong ? "bad" : "good"}`;
			const text = wrong ? `${wrong} of ${demo.routes.length} routes are wrong` : `All nine routes are right: ${count(points)} points are what was written`;
			if (wrong || first) verdict.textContent = text;
			body.replaceChildren(...demo.routes.map(r => el("tr", {}, el("th", { scope: "row" }, r.l4), el("td", {}, r.l3), el("td", {}, r.way),
				...[count(r.points), count(r.pages), r.way === "remote" ? size(r.wire_bytes) : "–", `${r.ms.toFixed(1)} ms`, ago(Date.now() - Date.parse(r.checked))].map(text => el("td", { class: "number" }, text)),
				el("td", { class: r.ok ? "good" : "bad" }, r.ok ? "right" : `WRONG: ${r.wrong}`))));
			if (first) clouds.replaceChildren(...demo.clouds.map(c => el("li", {}, el("a", { href: c.url }, c.name), ` ${c.url}`)));
		}
		await new Promise(resolve => { setTimeout(resolve, 1000); });
	}
}
