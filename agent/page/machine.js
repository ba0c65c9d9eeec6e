// One machine: its score and sensors over time, why, and what happened.
import { Charts } from "./charts.js";
import { buttons, eventWord } from "./alarms.js";
import { get, request } from "./api.js";
import {
	capital,
	clock,
	make,
	moment,
	number,
	pill,
	reason,
	say,
	share,
	sinceOf,
	span,
	stateOf,
	time,
	unit,
	whole,
	withUnit,
} from "./words.js";

export const RANGES = [
	[300, "5 min"],
	[900, "15 min"],
	[3600, "1 h"],
	[28800, "8 h"],
	[86400, "24 h"],
	[604800, "7 d"],
	[0, "All"],
];
const STEPS = 600,
	LIVE_MS = 500,
	POINTS_MAX = 2400,
	CSV_PAGES = 200;

const iso = (ms) => new Date(ms).toISOString();

function download(name, blob) {
	const url = URL.createObjectURL(blob);
	make("a", { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export class MachineView {
	constructor(app) {
		this.app = app;
		const button = (text, title, action) => make("button", { type: "button", title, onclick: action }, text);
		this.charts = new Charts({
			zoom: (from, to) => this.zoom(from, to),
			leave: () => this.setRange(this.range),
			point: (i) => this.numbers(i),
			choose: (t) => this.choose(t),
		});
		this.element = make(
			"div",
			{},
			make(
				"nav",
				{ "aria-label": "Where this is", class: "note" },
				make("a", { href: "#/" }, "Plant"),
				" / ",
				(this.crumb = make("span")),
			),
			(this.banner = make("div", { class: "banner" })),
			make(
				"div",
				{ class: "tools" },
				(this.ranges = make(
					"div",
					{ class: "ranges", role: "group", "aria-label": "Range" },
					...RANGES.map(([seconds, text]) =>
						make(
							"button",
							{ type: "button", "data-range": seconds, onclick: () => this.setRange(seconds) },
							text,
						),
					),
				)),
				(this.pauseButton = button("Pause", "Stop the picture (space)", () => this.pause())),
				(this.paused = make("span", { class: "note", role: "status" })),
				make("span", { class: "grow" }),
				button("Copy link", "A link to this machine and range", () => this.copy()),
				button("CSV", "The readings of this range", () => this.csv()),
				button("PNG", "A picture of the charts", () => this.png()),
			),
			make(
				"div",
				{ class: "columns narrow" },
				make(
					"div",
					{},
					(this.plots = make("section", { class: "card plots", "aria-label": "Charts" })),
					(this.note = make("p", { class: "small" })),
				),
				make(
					"aside",
					{ class: "side", "aria-label": "About this machine" },
					make(
						"section",
						{ class: "card" },
						make("header", {}, make("h2", {}, "Why"), (this.whyTime = make("span", { class: "small" }))),
						(this.why = make("div")),
					),
					make(
						"section",
						{ class: "card" },
						make("header", {}, make("h2", {}, "Model in force")),
						(this.model = make("dl", { class: "facts" })),
					),
					make(
						"section",
						{ class: "card" },
						make("header", {}, make("h2", {}, "Events")),
						(this.events = make("div", { class: "scroll" })),
					),
				),
			),
		);
		this.points = [];
		this.observer = new ResizeObserver(() => this.charts.resize());
		this.observer.observe(this.plots);
	}
	enter(query, name) {
		const fresh = this.name !== name;
		this.name = name;
		say(this.crumb, name);
		this.range = query.has("last") ? Number(query.get("last")) : 900;
		this.fixed =
			query.has("from") && query.has("to")
				? [Date.parse(query.get("from")), Date.parse(query.get("to"))]
				: null;
		this.chosen = query.has("at") ? Date.parse(query.get("at")) : null;
		this.hold = false;
		if (fresh) {
			this.points = [];
			this.columns = null;
			this.charts.destroy();
			this.plots.replaceChildren(make("p", { class: "empty" }, "Reading the history …"));
		}
		this.alarmVersion = -1;
		this.load();
		this.update();
		if (this.chosen) this.choose(this.chosen);
	}
	leave() {
		this.loading?.abort();
	}
	get still() {
		return this.fixed !== null || this.hold;
	}

	// ---- reading ----

	async load() {
		this.loading?.abort();
		const mine = (this.loading = new AbortController());
		const now = this.app.now(),
			[from, to] = this.fixed ?? [this.range ? now - this.range * 1000 : null, now + 1];
		const path = `/machines/${this.name}/series?steps=${STEPS}&to=${Math.round(to)}${from === null ? "" : `&from=${Math.round(from)}`}`;
		try {
			const answer = await get(path, mine.signal);
			if (mine.signal.aborted) return;
			this.from = from ?? answer.from;
			this.width = (to - this.from) / STEPS;
			this.loadedAt = Date.now();
			this.before = answer.before;
			this.take(answer);
			if (this.points.length)
				say(
					this.note,
					`${answer.sampled ? "Each step shows a sample of its readings; anomalies are all there. " : ""}${this.width > 2000 ? `One step is ${span(this.width)}: line: mean, shade: smallest to largest. ` : ""}Times are local; drag to zoom, double click to leave, click a reading to ask why.`,
				);
		} catch (error) {
			if (!mine.signal.aborted) say(this.note, `The history cannot be read: ${error.message}`);
		}
	}
	take(answer) {
		const columns = answer.features;
		const cell = (step, k) => [step[k], step[k + 2], step[k + 1]];
		this.points = answer.steps.map((step) => ({
			t: step[0],
			anomalies: step[2],
			threshold: step[3],
			columns: [cell(step, 4), ...columns.map((_, i) => cell(step, 7 + 3 * i))],
		}));
		this.lay(columns);
		this.show();
	}
	async follow() {
		if (
			this.still ||
			this.following ||
			!this.points.length ||
			(this.range === 0 && Date.now() - this.loadedAt < 5000)
		)
			return;
		if (this.range > 3600 || this.range === 0 || this.points.length > POINTS_MAX || this.charts.zoomed) {
			if (Date.now() - this.loadedAt > Math.max(2 * this.width, 2000)) this.load();
			return;
		}
		const last = this.points.at(-1).t;
		if (!(this.app.rows.get(this.name)?.at > last)) return;
		this.following = true;
		try {
			const mine = this.name,
				{ items } = await get(`/history?machine=${mine}&from=${iso(last + 1)}&limit=1000`);
			if (mine !== this.name || this.still) return;
			if (items.length >= 1000) this.load();
			else this.append(items.reverse());
		} catch {
			/* the next event tries again; loss is shown by the app */
		} finally {
			this.following = false;
		}
	}
	append(items) {
		const one = (value) => [value ?? null, value ?? null, value ?? null];
		for (const item of items) {
			this.points.push({
				t: Date.parse(item.timestamp),
				anomalies: item.is_anomaly ?? 0,
				threshold: item.threshold ?? null,
				columns: [one(item.anomaly_score), ...this.columns.map((name) => one(item[name]))],
			});
		}
		const from = this.app.now() - this.range * 1000;
		this.points = this.points.filter((p) => p.t >= from);
		this.show();
	}

	// ---- showing ----

	lay(columns) {
		const model = this.inForce(),
			text = columns.join() + (model?.id ?? "");
		if (this.columns && this.laid === text) return;
		this.laid = text;
		this.columns = columns;
		const feature = (name) => model?.features.find((one) => one.name === name);
		this.parts = [
			{ name: "Score", column: 0, score: true },
			...columns.map((name, i) => ({
				name,
				column: i + 1,
				low: feature(name)?.low ?? undefined,
				high: feature(name)?.high,
				unit: feature(name)?.unit,
			})),
		];
		this.plots.replaceChildren(
			...this.parts.map((part) => {
				part.element = make("div", {
					class: "draw",
					role: "img",
					"aria-label": `${capital(part.name)} over time`,
				});
				part.now = make("div", { class: "now" }, "–");
				part.range = make("div", { class: "small" });
				return make(
					"div",
					{ class: `plot${part.score ? " score" : ""}` },
					make("div", { class: "label" }, make("h3", {}, capital(part.name)), part.now, part.range),
					make("div", { class: "picture" }, part.element),
				);
			}),
		);
		this.charts.build(this.parts);
	}
	show() {
		const now = this.app.now(),
			[from, to] = this.fixed ?? [this.range ? now - this.range * 1000 : this.from, now];
		this.charts.show(
			this.points,
			this.hold ? this.from : from,
			this.hold ? this.to : to,
			this.width,
			this.marks ?? [],
		);
		if (!this.hold) [this.from, this.to] = [from, to];
		this.drawnAt = Date.now();
		this.plots.dataset.gaps = this.charts.gaps.filter(([start]) => start > from).length;
		if (!this.points.length) {
			const ago = this.before === null ? "" : "; the last one before";
			this.note.replaceChildren(
				`No readings between ${moment(from)} and ${moment(to)}${ago} `,
				this.before === null
					? ""
					: make(
							"a",
							{
								href: `#/machine/${encodeURIComponent(this.name)}?from=${iso(this.before - 300000)}&to=${iso(this.before + 300000)}`,
							},
							moment(this.before, true),
						),
			);
		}
		this.numbers(-1);
	}
	numbers(index) {
		const p = this.points[index >= 0 ? index : this.points.length - 1];
		if (!p || !this.parts) return;
		for (const part of this.parts) {
			const cell = p.columns[part.column],
				value = cell?.[1] ?? null;
			const limit = part.score ? p.threshold : part.high;
			say(part.now, part.score ? number(value) : withUnit(value, part.unit));
			part.now.classList.toggle(
				"out",
				value !== null &&
					(part.score
						? p.threshold !== null && value > p.threshold
						: limit !== undefined && (value > part.high || value < part.low)),
			);
			say(
				part.range,
				part.score
					? `threshold ${number(p.threshold)}${index >= 0 ? ` · ${clock(p.t)}` : ""}`
					: part.high === undefined
						? ""
						: `healthy ${number(part.low)} to ${number(part.high)}${part.unit ? ` ${unit(part.unit)}` : ""}`,
			);
			if (index < 0)
				part.element.setAttribute(
					"aria-label",
					`${capital(part.name)} over time, now ${part.now.textContent}, ${part.range.textContent}`,
				);
		}
	}
	update() {
		const row = this.app.rows.get(this.name),
			now = this.app.now();
		if (!row) {
			this.banner.replaceChildren(
				make("h1", {}, this.name),
				this.app.started
					? "Nothing is known of this machine since the agent started; its history is below."
					: "",
			);
			return;
		}
		const state = stateOf(row, now),
			since = sinceOf(row, state);
		const text = [state, row.alarm?.id, row.alarm?.operator, this.app.live, row.stopped].join();
		if (this.bannerText !== text + this.name) {
			this.bannerText = text + this.name;
			this.banner.className = `banner is-${state}`;
			this.banner.replaceChildren(
				make("h1", {}, this.name),
				pill(row, state),
				(this.since = make("span", { class: "note" })),
				(this.because = make("span")),
				make("span", { class: "grow" }),
				["alarm", "returned", "acknowledged", "shelved"].includes(state) ? buttons(this.app, row, state) : "",
			);
		}
		say(
			this.since,
			since && !["normal", "learning", "stopped"].includes(state)
				? `since ${moment(since)} (${span(now - since)})`
				: `last reading ${row.received ? clock(row.received) : "unknown"}`,
		);
		say(this.because, reason(row, state, this.inForce(), now));
		if (this.chosen === null && row.why !== undefined)
			this.because0(row.why, row.at, row.anomalous_since > 0);
		if (this.alarmVersion !== this.app.alarmVersion) {
			this.alarmVersion = this.app.alarmVersion;
			this.happened();
		}
		this.facts();
		this.follow();
		for (const button of this.ranges.children)
			button.setAttribute("aria-pressed", String(!this.fixed && Number(button.dataset.range) === this.range));
		say(this.pauseButton, this.still ? "Resume" : "Pause");
		say(
			this.paused,
			this.hold
				? `paused at ${clock(this.to)}`
				: this.fixed
					? `${moment(this.fixed[0], true)} to ${moment(this.fixed[1], true)}, not live`
					: "",
		);
	}
	because0(why, at, anomalous) {
		say(this.whyTime, `reading of ${moment(at, true)}`);
		const text = JSON.stringify(why.map((one) => [one.sensor, Math.round(100 * one.share)])) + anomalous;
		if (this.whyText === text) return;
		this.whyText = text;
		if (!why.length) {
			this.why.replaceChildren(
				make(
					"p",
					{ class: "small" },
					anomalous ? "No sensor stands out." : "Nothing stands out: the reading is normal.",
				),
			);
			return;
		}
		this.why.replaceChildren(
			make(
				"div",
				{ class: "share" },
				...why.flatMap((one, i) => [
					make("span", {}, one.sensor.replaceAll("_", " ")),
					make("meter", {
						min: 0,
						max: 1,
						value: one.share,
						class: i === 0 ? "first" : "",
						"aria-label": `${one.sensor}: share of the score`,
					}),
					make("span", {}, share(one.share)),
				]),
			),
			make("p", { class: "small" }, "The share of the score that each sensor causes."),
		);
	}
	/* The plant's model, unless the machine has one of its own. */
	inForce() {
		return this.own?.machine === this.name ? this.own.model : this.app.model;
	}
	async askModel() {
		if (!this.app.status) return;
		const { own_models: others, model_loads: loads } = this.app.status,
			machine = this.name,
			text = [machine, others, loads, this.app.model?.id].join();
		if (this.asked === text) return;
		this.asked = text;
		if (others === 0) {
			this.own = null;
			return;
		}
		try {
			const model = await get(`/machines/${machine}/model`);
			if (this.asked !== text) return;
			this.own = { machine, model };
			this.facts();
		} catch {
			this.asked = null; // again with the next look
		}
	}
	facts() {
		this.askModel();
		const model = this.inForce();
		if (this.modelText === (model?.id ?? "none")) return;
		this.modelText = model?.id ?? "none";
		const promised = model?.false_alarms_per_day;
		const rows = !model
			? [["None", "readings are kept unscored; isolde-trainer train makes one"]]
			: [
					["Trained", moment(model.trained)],
					["On", `${whole(model.rows)} healthy readings`],
					["Detector", model.detector],
					["Threshold", `${number(model.threshold)} (${share(model.quantile)} of them below)`],
					[
						"Promised",
						promised === null
							? "nothing: trained without times"
							: `${number(promised)} false alarms a day (${number(model.false_alarms_per_day_low)} to ${number(model.false_alarms_per_day_high)})`,
					],
					["Model", model.id],
				];
		this.model.replaceChildren(
			...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
		);
		if (this.columns) this.lay(this.columns);
	}
	async happened() {
		const name = this.name;
		try {
			const { items } = await get(`/alarms?history=1&machine=${name}&limit=100`);
			if (name !== this.name) return;
			this.marks = items
				.filter((item) => item.event === "raised")
				.map((item) => ({ t: Date.parse(item.at), text: "alarm raised" }));
			this.events.replaceChildren(
				items.length
					? make(
							"table",
							{ class: "rows" },
							make(
								"tbody",
								{},
								...items
									.slice(0, 20)
									.map((item) =>
										make(
											"tr",
											{},
											make("td", {}, time(Date.parse(item.at), moment(Date.parse(item.at), true))),
											make(
												"td",
												{},
												[
													eventWord(item.event),
													item.event === "raised" && item.first_sensor
														? `first out ${item.first_sensor}`
														: "",
													item.event === "updated" ? `${item.priority} priority` : "",
													item.operator,
													item.reason,
												]
													.filter(Boolean)
													.join(", "),
											),
										),
									),
							),
						)
					: make("p", { class: "small" }, "None yet."),
			);
			if (this.columns && !this.hold) this.show();
		} catch {
			/* with the next change */
		}
	}

	// ---- what people do ----

	setRange(seconds) {
		this.app.go(`#/machine/${encodeURIComponent(this.name)}`, { last: seconds }, true);
	}
	key(index) {
		if (RANGES[index]) this.setRange(RANGES[index][0]);
	}
	pause() {
		if (this.still) {
			this.setRange(this.range);
			this.hold = false;
			this.fixed = null;
			this.load();
		} else this.hold = true;
		this.update();
	}
	move(by) {
		const [from, to] = this.fixed ?? [this.from, this.to],
			width = to - from;
		this.app.go(
			`#/machine/${encodeURIComponent(this.name)}`,
			{ from: iso(from + (by * width) / 2), to: iso(to + (by * width) / 2) },
			true,
		);
	}
	zoom(from, to) {
		if (to - from < 1000) return;
		this.app.go(`#/machine/${encodeURIComponent(this.name)}`, { from: iso(from), to: iso(to) }, true);
	}
	async choose(at) {
		this.chosen = at;
		try {
			const { items } = await get(
				`/history?machine=${this.name}&from=${iso(at - 30000)}&to=${iso(at + Math.max(this.width ?? 0, 1000))}&limit=200`,
			);
			const near = items.reduce(
				(best, item) =>
					Math.abs(Date.parse(item.timestamp) - at) < Math.abs(Date.parse(best?.timestamp ?? 0) - at)
						? item
						: best,
				null,
			);
			if (!near) return;
			this.because0(
				(near.explanation ?? []).map((one) => ({ ...one })),
				Date.parse(near.timestamp),
				near.is_anomaly === 1,
			);
			const query = this.fixed ? { from: iso(this.fixed[0]), to: iso(this.fixed[1]) } : { last: this.range };
			this.app.replace(`#/machine/${encodeURIComponent(this.name)}`, { ...query, at: near.timestamp });
		} catch {
			/* nothing to explain with */
		}
	}
	async copy() {
		const link =
			this.still || !this.range
				? `${location.origin}/#/machine/${this.name}?from=${iso(this.from)}&to=${iso(this.to)}`
				: location.href;
		try {
			await navigator.clipboard.writeText(link);
			this.app.announce("Link copied");
		} catch {
			this.app.openDialog("Link", make("p", {}, link));
		}
	}
	async csv() {
		const parts = [];
		let path = `/history?machine=${this.name}&from=${iso(this.from)}&to=${iso(this.to)}&limit=1000`;
		try {
			for (let page = 0; path && page < CSV_PAGES; page++) {
				const answer = await request(path, { headers: { Accept: "text/csv" } });
				const text = await answer.text();
				parts.push(page === 0 ? text : text.slice(text.indexOf("\n") + 1));
				path = answer.headers.get("Link")?.match(/<([^>]+)>; rel="next"/)?.[1];
			}
			download(`${this.name}.csv`, new Blob(parts, { type: "text/csv" }));
			this.app.announce(
				path
					? `The newest ${whole(CSV_PAGES * 1000)} readings are in the file; choose a shorter range for the rest`
					: "CSV downloaded",
			);
		} catch (error) {
			this.app.announce(`No CSV: ${error.message}`);
		}
	}
	png() {
		const title = `${this.name}, ${moment(this.from, true)} to ${moment(this.to, true)}`;
		this.charts
			.picture(
				title,
				this.parts.map((part) => capital(part.name)),
			)
			.toBlob((blob) => download(`${this.name}.png`, blob));
	}
	tick() {
		if (!this.still && this.columns && Date.now() - (this.drawnAt ?? 0) > 1000) this.show();
	}
	back() {
		this.load();
	}
	redraw() {
		this.charts.recolour();
		if (this.columns) this.show();
	}
}
