// Shows the demo's page. The arguments are what demo --json said, and where the picture goes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../.engines/page/", import.meta.url))("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.HOTREADER_CHROMIUM || "/usr/bin/chromium", args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const page = await browser.newPage({ viewport: { width: 1180, height: 860 }, colorScheme: "light", timezoneId: "Europe/Berlin", locale: "en-GB" });
await page.goto(JSON.parse(readFileSync(process.argv[2], "utf8")).clouds[0].url);
await page.waitForSelector(".panels[aria-busy=false] .plot");
const box = await page.locator(".plot").first().boundingBox();
await page.mouse.move(box.x + box.width * 0.6, box.y + 60);
await page.waitForTimeout(300);
await page.screenshot({ path: process.argv[3] });
await browser.close();
