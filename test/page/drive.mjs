// Drives the page for people in Chromium, as people do, and says each step that went
// right. The argument is JSON: what the Go test has made, and where.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const given = JSON.parse(process.argv[2]);
const require = createRequire(`${given.modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: given.chromium, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const control = path => fetch(given.control + path).then(r => { if (!r.ok) throw Error(`${path}: ${r.status}`); });

const want = (is, what) => { if (!is) throw Error(what); };

async function step(name, run) {
	const began = Date.now();
	try {
		await run();
		console.log(`ok ${name} (${Date.now() - began} ms)`);
	} catch (error) {
		console.log(`FAILED ${name}: ${error.stack}`);
		process.exit(1);
	}
}

// until waits for what the page is to become.
async function until(what, is, most = 10000) {
	for (const end = Date.now() + most; ; await new Promise(r => { setTimeout(r, 30); })) {
		const got = await is();
		if (got) return got;
		want(Date.now() < end, `${what}: not within ${most} ms`);
	}
}

// fresh opens the page in a profile of its own, and notes what it must not do.
async function fresh(url, options = {}) {
	const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, timezoneId: "Europe/Berlin", acceptDownloads: true, ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(8000);
	const noted = page.noted = { wrong: [], aborted: 0, asked: [] };
	page.on("pageerror", error => noted.wrong.push(error.stack));
	page.on("console", m => { if (m.type() === "error" && !/status of 40[14]|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/.test(m.text())) noted.wrong.push(m.text()); });
	page.on("dialog", dialog => { noted.wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
	page.on("request", request => {
		noted.asked.push(request.url());
		if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("blob:")) noted.wrong.push(`asks ${request.url()}`);
		if (request.url().includes(given.token)) noted.wrong.push(`the token is in ${request.url()}`);
	});
	page.on("requestfailed", request => { if (request.failure()?.errorText === "net::ERR_ABORTED") noted.aborted++; });
	await page.goto(url);
	await page.waitForSelector("#token:visible, .device h1", { timeout: 10000 });
	return page;
}

async function connected(url, options, token = given.token) {
	const page = await fresh(url, options);
	await page.fill("#token", token);
	await page.press("#token", "Enter");
	await page.waitForSelector("#explore:visible");
	return page;
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const drawn = page => until("charts", () => page.evaluate(() => document.querySelector(".panels")?.getAttribute("aria-busy") === "false"));
const range = page => page.evaluate(() => ["from", "to"].map(name => Date.parse(new URLSearchParams(location.hash.split("?")[1]).get(name))));
const choose = async (page, id) => { await page.click(`.devices button[data-id="${id}"]`); await until(id, async () => await page.textContent(".device h1") === id); await drawn(page); };

// linked opens a link to a range of texts.
async function linked(page, from, to) {
	await page.goto(`${given.url}#/explore?${new URLSearchParams({ d: "pump-7", p: "state", from, to })}`);
	await page.reload();
	await page.fill("#token", given.token);
	await press(page, "Connect");
	await page.waitForSelector(".panel");
	await drawn(page);
}

// ink is how many pixels of a chart have a colour of their own, which grid and text lack.
const ink = page => page.evaluate(() => {
	const canvas = document.querySelector(".plot canvas"), { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	let n = 0;
	for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 90) n++;
	return n;
});

async function judged(page, what) {
	await page.evaluate(axe);
	const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
	want(passes.length > 10, `${what}: axe looked at ${passes.length} rules only`);
	want(violations.length === 0, `${what}: ${violations.map(v => `${v.id} (${v.help}): ${v.nodes.map(n => n.html.slice(0, 160)).join(" | ")}`).join("\n")}`);
	const wide = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
	want(wide <= 0, `${what}: ${wide} pixels wider than the window`);
}

async function clean(page) {
	want(page.noted.wrong.length === 0, page.noted.wrong.join("\n"));
	await page.context().close();
}

let page;
await step("the page opens with a form for the token", async () => {
	page = await fresh(given.url);
	want(await page.evaluate(() => document.activeElement.id) === "token", "the field has no focus");
	await judged(page, "the form, light");
	await page.emulateMedia({ colorScheme: "dark" });
	await judged(page, "the form, dark");
});

await step("a wrong token is told, a right one opens", async () => {
	for (const [token, says] of [["wrong", "rejects this token"], ["tökén", "no token"]]) {
		await page.fill("#token", token);
		await press(page, "Connect");
		await until(says, async () => (await page.textContent("#token-error")).includes(says));
	}
	await page.fill("#token", given.token);
	await press(page, "Connect");
	await page.waitForSelector("#explore:visible");
});

await step("the token is nowhere but in memory", async () => {
	const kept = await page.evaluate(() => JSON.stringify([location.href, history.state, { ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML, document.querySelector("#token").value]));
	want(!kept.includes(given.token), kept);
	want((await page.context().storageState()).origins.length === 0, "something is stored");
});

await step("many devices come page by page, and are found by how they begin", async () => {
	await until("100", async () => await page.locator(".devices li").count() === 100);
	while (await page.getByRole("button", { name: "Show more" }).isVisible()) {
		const n = await page.locator(".devices li").count();
		await press(page, "Show more");
		await until("more", async () => await page.locator(".devices li").count() > n);
	}
	want(await page.locator(".devices li").count() === given.devices, `${await page.locator(".devices li").count()} devices, not ${given.devices}`);
	await page.fill("#prefix", "pump-");
	await until("two pumps", async () => await page.locator(".devices li").count() === 2);
});

await step("a device shows newest values, charts and tables of many rows", async () => {
	await choose(page, "pump-7");
	want((await page.textContent(".tiles li:nth-child(3) b")) === given.newest, `the newest is ${await page.textContent(".tiles li:nth-child(3) b")}, not ${given.newest}`);
	want(await page.locator(".panel").count() === 4, `${await page.locator(".panel").count()} panels`);
	await page.keyboard.press("Escape");
	await press(page, "All rows");
	await drawn(page);
	want(await ink(page) > 300, `only ${await ink(page)} pixels are drawn`);
	const panel = page.locator(".panel", { hasText: "temperature" }).first();
	want(/^temperature of pump-7: [\d,]+ points from .*Lowest -?[\d.]+, highest/.test(await panel.locator("canvas").getAttribute("aria-label")), await panel.locator("canvas").getAttribute("aria-label"));
	await panel.locator("summary").click();
	await until("100 rows", async () => await panel.locator("tbody tr").count() === 100);
	want(/^The first 100 of [\d,]{4,} points/.test(await panel.locator("caption").textContent()), await panel.locator("caption").textContent());
	await panel.locator("text=Show 100 more").click();
	want(await panel.locator("tbody tr").count() === 200, "no more rows");
	want(await panel.locator("tbody td").nth(2).textContent() === given.first, `the digits are ${await panel.locator("tbody td").nth(2).textContent()}, not ${given.first}`);
});

await step("dragging zooms, and what was asked before is cancelled", async () => {
	await page.locator(".plot").first().scrollIntoViewIfNeeded();
	const box = await page.locator(".plot").first().boundingBox();
	const before = page.noted.asked.length;
	await page.mouse.move(box.x + box.width * 0.3, box.y + 60);
	await page.mouse.down();
	await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
	await page.mouse.up();
	await drawn(page);
	const [from, to] = await range(page);
	const share = (to - from) / given.span;
	want(share > 0.2 && share < 0.45, `the range is ${share} of all`);
	want(page.noted.asked.length > before, "nothing was asked");
	await page.route("**/history?*", async route => { await new Promise(r => { setTimeout(r, 300); }); await route.continue().catch(() => {}); });
	const aborted = page.noted.aborted;
	for (let i = 0; i < 3; i++) { await page.click("[aria-label='Zoom in']"); await page.waitForTimeout(120); }
	await drawn(page);
	await page.unroute("**/history?*");
	want(page.noted.aborted >= aborted + 2, `${page.noted.aborted - aborted} requests were cancelled`);
	await page.locator(".plot").first().dblclick();
	await until("wider", async () => { const now = await range(page); return now[1] - now[0] > (to - from) / 8; });
	await drawn(page);
});

await step("a text keeps its colour in each range, and a legend says which", async () => {
	const legend = () => page.locator(".panel", { hasText: "state" }).locator(".legend li").evaluateAll(all => all.map(one => `${one.textContent} ${getComputedStyle(one, "::before").backgroundColor}`));
	const zoomed = async (from, to) => { await linked(page, from, to); return legend(); };
	const both = await zoomed("2026-03-01T00:00:00Z", "2026-03-01T12:00:00Z");
	want(both.length === 2 && both[0].startsWith("idle ") && both[1].startsWith("running ") && both[0].slice(5) !== both[1].slice(8), both.join());
	const later = await zoomed("2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z");
	want(later.join() === both[1], `${later} after ${both}`);
	await judged(page, "a legend");
});

await step("ticks are whole hours of a clock that goes back, and say which of two", async () => {
	for (const [from, to, most, says] of [
		["2026-10-24T23:00:00Z", "2026-10-25T02:00:00Z", 8, "01:00 01:30 02:00 GMT+2 02:30 GMT+2 02:00 GMT+1 02:30 GMT+1 03:00"],
		["2026-10-24T08:00:00Z", "2026-10-26T12:00:00Z", 6, "12:00 Oct 25 12:00 Oct 26 12:00"],
		["2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z", 6, "23:00 Mar 29 01:00 03:00 04:00 05:00 06:00"],
	]) {
		const got = (await page.evaluate(async ([from, to, most]) => (await import("./page/chart.js")).timeTicks(Date.parse(from), Date.parse(to), most).map(([, label]) => label), [from, to, most])).join(" ");
		want(got === says, `${from}: ${got}, not ${says}`);
	}
	await linked(page, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z");
	const edges = await page.locator(".edges").first().textContent();
	want(edges === "From GMT+2To GMT+1", edges);
	await page.fill("#prefix", "pump-");
	await until("two pumps", async () => await page.locator(".devices li").count() === 2);
	await choose(page, "pump-7");
	await press(page, "All rows");
	await drawn(page);
});

await step("two devices are compared", async () => {
	await page.fill("[aria-label='Compare with another device']", "pump-8");
	await page.keyboard.press("Enter");
	await until("both lines", async () => (await page.locator(".readout").first().textContent()).includes("pump-8"));
	await judged(page, "charts, dark");
	await page.emulateMedia({ colorScheme: "light" });
	await judged(page, "charts, light");
});

await step("CSV has every row", async () => {
	await page.fill("[aria-label='Compare with another device']", "");
	await page.keyboard.press("Enter");
	await press(page, "All rows");
	await drawn(page);
	const [file] = await Promise.all([page.waitForEvent("download"), press(page, "Download CSV")]);
	const lines = readFileSync(await file.path(), "utf8").trimEnd().split("\n");
	want(lines.length === given.rows + 1 && lines[0] === "time,temperature,vibration,running,state", `${lines.length} lines: ${lines[0]}`);
	want(file.suggestedFilename().startsWith("pump-7_"), file.suggestedFilename());
});

await step("names and values from devices are text only, and warnings are shown", async () => {
	await page.fill("#prefix", "<");
	await until("it", async () => await page.locator(".devices li").count() === 1);
	await page.locator(".devices button").click();
	await drawn(page);
	want(await page.textContent(".device h1") === given.hostile, await page.textContent(".device h1"));
	want(await page.locator("#explore img, #explore script, #explore a[href^=javascript]").count() === 0, "markup came of it");
	want((await page.textContent(".tiles")).includes(given.hostileProperty), "the property is not shown");
	await until("the warning", async () => /of another kind than the first.* dataType of the property in .*config_iot_devices\.json/.test(await page.textContent(".notices")));
	await judged(page, "hostile names");
});

await step("a text among numbers is a gap in the line, and a long number is shown to its end", async () => {
	await page.fill("#prefix", "meter-000");
	await until("it", async () => await page.locator(".devices li").count() === 1);
	await choose(page, "meter-000");
	const label = await page.locator(".plot canvas").getAttribute("aria-label");
	want(label.includes("Lowest 0.0000018613328585307, highest 0.00029186"), label);
	want(await ink(page) > 100, "nothing is drawn");
	const [shown, cut] = await page.locator(".tiles .value").evaluate(value => [value.textContent, value.scrollWidth > value.clientWidth]);
	want(shown.endsWith("e-05") && !cut, `${shown} is ${cut ? "cut" : "shown"}`);
	await judged(page, "a gap");
});

await step("a route of the API is tried", async () => {
	await page.click("nav >> text=API");
	await page.waitForSelector("#api:visible");
	await page.click("#api summary:has-text('/latest')");
	await page.fill("#latest-id", "pump-7");
	await page.fill("#latest-property", "temperature");
	await page.press("#latest-property", "Enter");
	const result = page.locator(".result:not(:empty)");
	await until("an answer", async () => /^200 /.test(await result.textContent()));
	want((await result.textContent()).includes(given.newest), await result.textContent());
	want((await result.textContent()).includes("curl") && !(await page.textContent("body")).includes(given.token), "the command");
	await judged(page, "the API");
	want(await page.locator(".route").count() === given.operations, `${await page.locator(".route").count()} routes`);
});

await step("without a list of devices, an id is typed", async () => {
	const page = await connected(given.unlisted, {}, given.token);
	await page.waitForSelector("#typed-id:visible");
	await page.fill("#typed-id", "pump-7");
	await page.fill("#typed-names", "temperature, \"vibration\"");
	await page.keyboard.press("Enter");
	await until("pump-7", async () => await page.textContent(".device h1") === "pump-7");
	await drawn(page);
	want(await page.locator(".panel").count() === 2, `${await page.locator(".panel").count()} panels`);
	want(await ink(page) > 100, "nothing is drawn");
	await judged(page, "a typed device");
	await clean(page);
});

await step("a server that is gone is told, and asked until it is back", async () => {
	await page.click("nav >> text=Explore");
	await page.fill("#prefix", "");
	await until("the list", async () => await page.locator(".devices li").count() === 100);
	await page.fill("#prefix", "pump-");
	await until("two pumps", async () => await page.locator(".devices li").count() === 2);
	await choose(page, "pump-7");
	await control("stop");
	await page.click("[aria-label='Zoom in']");
	await until("away", async () => (await page.textContent("#state")).includes("does not answer"));
	await judged(page, "away");
	want(await page.isVisible("#state button"), "there is no button to try now");
	await control("start");
	await page.evaluate(() => document.querySelector("#state button").click()); // the page may have found out by itself
	await until("back", async () => (await page.textContent("#state")).includes("Connected"));
	await drawn(page);
	want(await ink(page) > 100, "nothing is drawn");
});

await step("a token that is no longer good is asked for anew", async () => {
	await control("rotate");
	await page.click("[aria-label='Zoom out']");
	await page.waitForSelector("#connect:visible");
	await until("why", async () => (await page.textContent("#token-error")).includes("no longer takes this token"));
	await page.fill("#token", given.rotated);
	await press(page, "Connect");
	await until("where one was", async () => await page.textContent(".device h1") === "pump-7");
	await drawn(page);
	await press(page, "Forget token");
	await page.waitForSelector("#connect:visible");
	await clean(page);
});

await step("it works with the keyboard alone, and the focus is seen", async () => {
	page = await fresh(given.url);
	await page.keyboard.type(given.rotated);
	await page.keyboard.press("Enter");
	await page.waitForSelector("#explore:visible");
	const tabTo = async (selector, most = 200) => {
		for (let i = 0; i < most; i++) {
			await page.keyboard.press("Tab");
			const [there, outline] = await page.evaluate(s => [document.activeElement.matches(s), getComputedStyle(document.activeElement).outlineStyle], selector);
			want(outline !== "none", `no focus is seen on ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}`);
			if (there) return;
		}
		throw Error(`Tab does not lead to ${selector}`);
	};
	await tabTo("#prefix");
	await page.keyboard.type("pump-7");
	await until("one pump", async () => await page.locator(".devices li").count() === 1);
	await tabTo(".devices button");
	await page.keyboard.press("Enter");
	await until("pump-7", async () => await page.textContent(".device h1") === "pump-7");
	await drawn(page);
	await tabTo(".plot");
	await page.keyboard.press("+");
	await drawn(page);
	const [from, to] = await range(page);
	await page.keyboard.press("ArrowLeft");
	await until("earlier", async () => (await range(page))[0] < from);
	await drawn(page);
	await page.keyboard.press("Shift+ArrowRight");
	await until("the point is said", async () => (await page.textContent(".spoken")).includes("Europe/Berlin"));
	await page.keyboard.press("0");
	await until("all", async () => Number.isNaN((await range(page))[0]));
	want(new URLSearchParams((await page.evaluate(() => location.hash)).split("?")[1]).get("newest") === "all", "a link says that it is all");
	want(to > from, "no range");
	await tabTo(".rows summary");
	await page.keyboard.press("Enter");
	await until("a table", async () => await page.locator(".rows[open] tbody tr").count() > 0);
	await clean(page);
});

await step("a phone is wide enough", async () => {
	page = await connected(given.url, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }, given.rotated);
	await page.fill("#prefix", "pump-");
	await until("two pumps", async () => await page.locator(".devices li").count() === 2);
	await choose(page, "pump-7");
	await judged(page, "a phone");
	await page.click(".tile[data-name=vibration]");
	await choose(page, "pump-8");
	want((await page.locator(".panel h2").allTextContents()).join() === "temperature,running,state", "another device has not the properties that were chosen");
	await until("what to do about states", async () => /state: .* changes between the picked rows .*zoom in until this notice is gone/.test(await page.textContent(".notices")));
	await page.click("nav >> text=API");
	await page.click("#api summary:has-text('/history')");
	await judged(page, "a phone, the API");
	await clean(page);
});

await step("the demo's values move, and its routes are checked", async () => {
	page = await fresh(given.demo);
	await page.waitForSelector(".device h1");
	await drawn(page);
	const first = await page.textContent(".tiles");
	await until("new values", async () => (await page.textContent(".tiles")) !== first);
	for (const [prefix, n] of [["PUMPS", 0], ["PUMP", 1]]) {
		await page.fill("#prefix", prefix);
		await until(prefix, async () => await page.locator(".devices li").count() === n);
	}
	await page.click("nav >> text=Routes");
	await until("nine", async () => await page.locator("#routes td.good").count() === 9);
	want((await page.textContent(".verdict")).startsWith("All nine routes are right"), await page.textContent(".verdict"));
	const before = await page.textContent("#routes tbody");
	await until("checked anew", async () => (await page.textContent("#routes tbody")) !== before);
	await judged(page, "routes");
	await clean(page);
});

await browser.close();
