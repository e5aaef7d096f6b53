// The page: which view is shown, the token's form, and whether the server is well.
import { byId } from "./dom.js";
import { ask, authorized, get, server, setToken, tryNow } from "./client.js";
import * as explore from "./explore.js";
import * as reference from "./reference.js";
import * as routes from "./routes.js";

const views = ["explore", "routes", "api"];
const where = () => { const [path, query] = location.hash.slice(1).split("?"); return [views.includes(path.slice(1)) ? path.slice(1) : "explore", new URLSearchParams(query)]; };

function show() {
	const open = authorized(), [asked] = where(), view = asked === "routes" && byId("to-routes").hidden ? "explore" : asked;
	byId("connect").hidden = open;
	byId("views").hidden = byId("leave").hidden = !open;
	for (const name of views) byId(name).hidden = !open || name !== view;
	for (const link of byId("views").children) link.setAttribute("aria-current", link.hash === `#/${view}` ? "page" : "false");
	document.title = open ? `${view === "api" ? "API" : view[0].toUpperCase() + view.slice(1)} · hotreader` : "hotreader";
	state();
	if (!open) byId("token").focus();
}

function state() {
	const [text, again] = byId("state").children;
	byId("state").className = `state ${server.away ? "away" : "well"}`;
	text.textContent = server.away ? "The server does not answer. Trying again…" : authorized() ? "Connected" : "The server is up";
	again.hidden = !server.away;
}

// connect shows the devices, if the token is right.
async function connect(token) {
	const error = byId("token-error"), submit = byId("connect").querySelector("button");
	error.textContent = "";
	if (!/^[\x21-\x7e]+$/.test(token)) {
		error.textContent = "This is no token: it has letters that no token has, or a blank within.";
		return;
	}
	submit.disabled = true;
	setToken(token);
	try {
		await ask("v1/devices?limit=1");
	} catch (problem) {
		if (problem.status === 401) error.textContent = "The server rejects this token. Compare it with INTER_CLOUD_TOKEN of the server.";
		else if (problem.status !== 404) error.textContent = problem.message; // 404: it cannot list, but the token is right
	}
	submit.disabled = false;
	if (error.textContent) { setToken(""); byId("token").focus(); return; }
	byId("token").value = "";
	show();
	explore.enter(where()[1]);
}

function leave(why = "") {
	setToken("");
	explore.leave();
	show();
	byId("token-error").textContent = why;
}

byId("connect").querySelector("form").addEventListener("submit", event => { event.preventDefault(); connect(byId("token").value.trim()); });
byId("leave").addEventListener("click", () => leave());
byId("state").querySelector("button").addEventListener("click", tryNow);
byId("skip").addEventListener("click", event => { event.preventDefault(); byId("main").focus(); });
server.addEventListener("change", state);
server.addEventListener("refused", () => leave("The server no longer takes this token. Give the one that it has now."));

let written = "";
addEventListener("hashchange", () => {
	if (location.hash === written) return;
	show();
	const [view, parameters] = where();
	if (!authorized() || view !== "explore") return;
	if (parameters.has("d")) explore.enter(parameters);
	else explore.back();
});

const description = await get("openapi.json"); // it needs no token, and says that the server is there
state();
const demo = description.info.version === "demo" ? await get("page/demo.json") : null;
explore.start({ every: demo ? 1000 : 5000, changed: parameters => {
	if (where()[0] !== "explore") return;
	written = `#/explore?${parameters}`;
	history.replaceState(null, "", written);
} });
reference.start(description);
if (demo) {
	byId("to-routes").hidden = false;
	routes.start();
	connect(demo.clouds.find(c => c.url === location.origin)?.token ?? demo.clouds[0].token); // its data is invented
} else show();
