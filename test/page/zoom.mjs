// Zooms in and out over many rows, and says how long each took until it was drawn.
import { createRequire } from "node:module";

const given = JSON.parse(process.argv[2]);
const { chromium } = createRequire(`${given.modules}/`)("playwright-core");
const browser = await chromium.launch({ executablePath: given.chromium, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(given.url);
await page.fill("#token", given.token);
await page.press("#token", "Enter");
const drawn = n => page.waitForFunction(most => performance.getEntriesByName("hotreader-drawn").length > most, n, { timeout: 60000 });
await drawn(0);
const took = await page.evaluate(async () => {
	const all = [];
	for (const name of ["All rows", "Zoom in", "Zoom in", "Earlier", "Zoom out", "Later", "Zoom out", "All rows"]) {
		const n = performance.getEntriesByName("hotreader-drawn").length, began = performance.now();
		document.querySelector(`[aria-label="${name}"]`).click();
		while (performance.getEntriesByName("hotreader-drawn").length === n) await new Promise(r => { setTimeout(r, 1); });
		all.push(Math.round(performance.getEntriesByName("hotreader-drawn").at(-1).startTime - began));
	}
	return all;
});
console.log(JSON.stringify(took));
await browser.close();
