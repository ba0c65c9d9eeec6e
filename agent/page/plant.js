// The plant: a tile for every machine, those that need somebody first.
import {
	COURSE,
	LOOK,
	ORDER,
	WORDS,
	clock,
	make,
	moment,
	number,
	pill,
	reason,
	say,
	shape,
	sinceOf,
	span,
	stateOf,
	utc,
	whole,
	word,
} from "./words.js";
import { alarmCards, cardVersion, ratePicture } from "./alarms.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Score over threshold, -1 to 3 from bottom to top, so that the threshold lies at the same height
// in every picture; what is above it is thick, missing time is a grey block.
export function drawCourse(canvas, course, state) {
	const ratio = window.devicePixelRatio || 1,
		width = canvas.clientWidth,
		height = canvas.clientHeight;
	if (!width) return;
	if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
	if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
	const c = canvas.getContext("2d");
	const x = (i) => ((i + 0.5) * width) / COURSE,
		y = (l) => height - 2 - (l / 63) * (height - 4);
	c.setTransform(ratio, 0, 0, ratio, 0, 0);
	c.clearRect(0, 0, width, height);
	c.fillStyle = colour("--quiet-ground");
	for (let i = 0; i < COURSE; i++) {
		if (course[i] < 0) c.fillRect((i * width) / COURSE, 0, width / COURSE + 0.5, height);
	}
	c.strokeStyle = colour("--ink3");
	c.setLineDash([3, 3]);
	c.lineWidth = 1;
	c.beginPath();
	c.moveTo(0, y(31.5));
	c.lineTo(width, y(31.5));
	c.stroke();
	c.setLineDash([]);
	const strong =
		state === "normal" || state === "learning" || state === "stopped"
			? "--warn"
			: `--${state === "anomalous" ? "warn" : state === "fault" || state === "silent" ? "fault" : "alarm"}`;
	for (let i = 0; i < COURSE; i++) {
		if (course[i] < 0) continue;
		const over = course[i] > 32;
		c.strokeStyle = c.fillStyle = colour(over ? strong : "--series");
		c.lineWidth = over ? 2.5 : 1.25;
		if (i === 0 || course[i - 1] < 0) {
			c.fillRect(x(i) - 1, y(course[i]) - 1, 2, 2);
			continue;
		}
		c.beginPath();
		c.moveTo(x(i - 1), y(course[i - 1]));
		c.lineTo(x(i), y(course[i]));
		c.stroke();
	}
}

const BY_NAME = new Intl.Collator(undefined, { numeric: true });

// Tiles out of sight that are brought up to date with every picture.
const HIDDEN_TILES = 40;

class Tile {
	constructor(name, watcher) {
		this.name = name;
		this.element = make(
			"a",
			{ class: "tile", href: `#/machine/${encodeURIComponent(name)}`, "data-machine": name },
			make(
				"span",
				{ class: "head" },
				make("span", { class: "machine", title: name }, name),
				(this.pill = make("span")),
			),
			(this.why = make("span", { class: "why" })),
			(this.canvas = make("canvas", { "aria-hidden": "true" })),
			make("span", { class: "foot" }, (this.since = make("span")), (this.score = make("span"))),
		);
		this.element.tile = this;
		watcher.observe(this.element);
	}
	show(row, state, model, now) {
		const label = word(row, state);
		if (this.state !== state || this.label !== label) {
			this.element.className = `tile is-${state}`;
			const next = pill(row, state);
			this.pill.replaceWith(next);
			this.pill = next;
			this.state = state;
			this.label = label;
		}
		say(this.why, reason(row, state, model, now));
		const since = sinceOf(row, state),
			age = now - since;
		say(
			this.since,
			!since
				? ""
				: state === "normal" || state === "learning" || state === "stopped"
					? `read ${age < 60000 ? clock(since) : moment(since)}`
					: `since ${moment(since)} (${span(age)})`,
		);
		this.since.title = since ? utc(since) : "";
		say(
			this.score,
			row.score === null || row.score === undefined ? "" : `${number(row.score)} / ${number(row.threshold)}`,
		);
		this.row = row;
		this.dirty = true;
	}
	refresh(app) {
		const row = app.rows.get(this.name);
		if (row?.state) this.show(row, row.state, app.model, app.now());
		this.draw();
	}
	draw() {
		if (!this.dirty || !this.visible) return;
		drawCourse(this.canvas, this.row.course, this.state);
		this.dirty = false;
	}
}

export class PlantView {
	constructor(app) {
		this.app = app;
		this.tiles = new Map();
		this.watcher = new IntersectionObserver(
			(entries) => {
				for (const { target, isIntersecting } of entries) {
					target.tile.visible = isIntersecting;
					if (isIntersecting) target.tile.refresh(this.app);
				}
			},
			{ rootMargin: "200px" },
		);
		this.element = make(
			"div",
			{},
			(this.title = make("h1", {}, "Looking at the plant")),
			(this.context = make("p", { class: "note" })),
			(this.chips = make("div", { class: "chips", role: "group", "aria-label": "Filter by state" })),
			(this.columns = make(
				"div",
				{ class: "columns" },
				(this.left = make(
					"div",
					{},
					(this.lookPart = make(
						"section",
						{ "aria-label": "Machines to look at" },
						make(
							"div",
							{ class: "section" },
							(this.lookTitle = make("h2")),
							make("span", { class: "small" }, "score against its threshold (dashed), last 10 min"),
						),
						(this.look = make("div", { class: "tiles" })),
					)),
					(this.quietPart = make(
						"section",
						{ "aria-label": "Quiet machines" },
						make("div", { class: "section" }, (this.quietTitle = make("h2"))),
						(this.quiet = make("div", { class: "tiles compact" })),
					)),
				)),
				make(
					"aside",
					{ class: "side first", "aria-label": "Alarms" },
					make(
						"section",
						{ class: "card foremost" },
						make("header", {}, make("h2", {}, "Alarms"), (this.alarmNote = make("span", { class: "small" }))),
						(this.alarms = make("div")),
					),
					make(
						"section",
						{ class: "card" },
						make(
							"header",
							{},
							make("h2", {}, "Alarms per 10 minutes"),
							make("span", { class: "small" }, "last 4 hours"),
						),
						(this.rates = make("canvas", {
							class: "bars",
							role: "img",
							"aria-label": "Alarms per 10 minutes",
						})),
					),
					make(
						"section",
						{ class: "card" },
						make("header", {}, make("h2", {}, "Ended")),
						(this.ended = make("div", { class: "scroll" })),
					),
				),
			)),
			(this.empty = make("div", { class: "empty", hidden: true })),
		);
	}
	enter(query) {
		this.state = query.get("state") ?? "";
		this.sortedAt = 0;
		this.update();
		this.journal();
	}
	async journal() {
		const items = await this.app.journal();
		ratePicture(this.rates, items);
		const ended = items.filter((item) => ["cleared", "false_alarm"].includes(item.event)).slice(0, 8);
		this.ended.replaceChildren(
			ended.length
				? make(
						"table",
						{ class: "rows" },
						make(
							"tbody",
							{},
							...ended.map((item) =>
								make(
									"tr",
									{},
									make("td", {}, moment(Date.parse(item.at))),
									make("td", {}, `${item.machine}${item.first_sensor ? `, ${item.first_sensor}` : ""}`),
									make(
										"td",
										{},
										item.event === "false_alarm"
											? "false alarm"
											: span(Date.parse(item.at) - Date.parse(item.since)),
									),
								),
							),
						),
					)
				: make("p", { class: "small" }, "None yet."),
		);
	}
	update() {
		const { rows, model, filter } = this.app,
			now = this.app.now();
		const counts = Object.fromEntries(ORDER.map((state) => [state, 0]));
		const shown = [];
		for (const [name, row] of rows) {
			const state = stateOf(row, now);
			counts[state]++;
			row.state = state;
			if (filter && !name.toLowerCase().includes(filter)) continue;
			if (this.state && state !== this.state) continue;
			shown.push(row);
		}
		this.headline(counts, rows, now);
		this.chipsFor(counts);
		this.showEmpty(rows.size, shown.length, filter);
		// Sorted at most once a second, and not under a hand.
		const held = this.element.querySelector(".tile:hover, .tile:focus-visible");
		const moved = shown.some((row) => this.tiles.get(row.machine)?.looked !== LOOK.has(row.state));
		const order =
			moved ||
			(Date.now() - this.sortedAt > 1000 && !held) ||
			this.tiles.size !== rows.size ||
			this.lastFilter !== filter + this.state;
		if (order) this.arrange(shown, now);
		this.showTiles(shown, model, now);
		for (const tile of this.tiles.values()) tile.draw();
		const version = cardVersion(this.app, this.alarms);
		if (this.alarmVersion !== version) {
			this.alarmVersion = version;
			const waiting = counts.alarm + counts.returned;
			say(this.alarmNote, `${waiting} waiting, ${counts.acknowledged} acknowledged`);
			alarmCards(this.alarms, this.app, 6);
			this.journal();
		}
	}
	// Those in sight at once, the others by turns: a thousand at once would cost frames.
	showTiles(shown, model, now) {
		const turn = this.turn ?? 0;
		shown.forEach((row, i) => {
			const tile = this.tiles.get(row.machine);
			const due = (i - turn + shown.length) % shown.length < HIDDEN_TILES;
			if (tile && (tile.visible || tile.state === undefined || due)) tile.show(row, row.state, model, now);
		});
		this.turn = shown.length ? (turn + HIDDEN_TILES) % shown.length : 0;
	}
	arrange(shown, now) {
		const priority = { high: 0, medium: 1, low: 2 };
		const key = (row) =>
			ORDER.indexOf(row.state) * 10 + (row.state === "alarm" ? priority[row.alarm.priority] : 0);
		shown.sort(
			(a, b) =>
				key(a) - key(b) ||
				(LOOK.has(a.state) ? sinceOf(b, b.state) - sinceOf(a, a.state) : 0) ||
				BY_NAME.compare(a.machine, b.machine),
		);
		const place = (holder, list) => {
			list.forEach((row, i) => {
				let tile = this.tiles.get(row.machine);
				if (!tile) this.tiles.set(row.machine, (tile = new Tile(row.machine, this.watcher)));
				tile.looked = LOOK.has(row.state);
				if (holder.children[i] !== tile.element)
					holder.insertBefore(tile.element, holder.children[i] ?? null);
			});
			while (holder.children.length > list.length) holder.lastChild.remove();
		};
		const look = shown.filter((row) => LOOK.has(row.state)),
			quiet = shown.filter((row) => !LOOK.has(row.state));
		place(this.look, look);
		place(this.quiet, quiet);
		for (const [name, tile] of this.tiles) {
			if (!this.app.rows.has(name)) {
				this.watcher.unobserve(tile.element);
				this.tiles.delete(name);
			}
		}
		say(this.lookTitle, `Look at these (${whole(look.length)})`);
		say(this.quietTitle, `Quiet (${whole(quiet.length)})`);
		this.lookPart.hidden = look.length === 0;
		this.quietPart.hidden = quiet.length === 0;
		this.sortedAt = now && Date.now();
		this.lastFilter = this.app.filter + this.state;
	}
	headline(counts, rows, now) {
		const waiting = [...rows.values()].filter((row) => row.state === "alarm");
		const first = waiting.sort((a, b) => b.alarm.since - a.alarm.since)[0];
		const look = ORDER.filter((state) => LOOK.has(state)).reduce((sum, state) => sum + counts[state], 0);
		const quiet = counts.normal + counts.stopped;
		say(
			this.title,
			waiting.length > 1
				? `${waiting.length} machines need you now`
				: first
					? `${first.machine} needs you now`
					: "Nothing needs you now",
		);
		say(
			this.context,
			rows.size === 0
				? ""
				: first
					? `${waiting.length > 1 ? `${first.machine}: ` : ""}${reason(first, "alarm", this.app.model, now)}. ${look > waiting.length ? `${look - waiting.length} more to look at, ` : ""}${whole(quiet)} of ${whole(rows.size)} normal or stopped.`
					: `${look ? `${look} to look at when there is time, ` : ""}${whole(quiet)} of ${whole(rows.size)} normal or stopped${counts.learning ? `, ${whole(counts.learning)} learning` : ""}.`,
		);
	}
	chipsFor(counts) {
		const states = ORDER.filter((state) => counts[state] > 0 || state === this.state);
		const text = states.map((state) => `${state} ${counts[state]}`).join() + this.state;
		if (this.chipText === text) return;
		this.chipText = text;
		const focused = document.activeElement?.dataset?.state;
		this.chips.replaceChildren(
			...states.map((state) =>
				make(
					"button",
					{
						type: "button",
						class: `is-${state}`,
						"data-state": state,
						"aria-pressed": String(state === this.state),
						onclick: () => this.app.go("#/", { state: state === this.state ? "" : state }, true),
					},
					shape(state),
					`${whole(counts[state])} ${WORDS[state].toLowerCase()}${state === "alarm" && counts[state] > 1 ? "s" : ""}`,
				),
			),
		);
		if (focused) this.chips.querySelector(`[data-state="${focused}"]`)?.focus();
	}
	showEmpty(all, shown, filter) {
		const kind = all === 0 ? (this.app.started ? "none" : "wait") : shown === 0 ? "filter" : "";
		this.empty.hidden = !kind;
		this.columns.hidden = all === 0;
		this.chips.hidden = all === 0;
		this.title.hidden = this.context.hidden = all === 0;
		const text = kind + filter;
		if (!kind || this.emptyText === text) return;
		this.emptyText = text;
		if (kind === "filter") {
			this.left.prepend(this.empty);
			this.empty.replaceChildren(
				make(
					"p",
					{},
					filter
						? `No machine${this.state ? " in this state" : ""} is called “${filter}”.`
						: "No machine is in this state.",
				),
				make("button", { type: "button", onclick: () => this.app.clearFilter() }, "Show all"),
			);
			return;
		}
		this.element.append(this.empty);
		this.empty.replaceChildren(
			...(kind === "wait"
				? [make("p", {}, "Asking the agent …")]
				: [
						make("h1", {}, "No machine has sent a reading yet"),
						make(
							"p",
							{},
							"Isolde listens. Machines appear here by themselves with their first reading, on the topic factory/<machine>/reading:",
						),
						make(
							"pre",
							{ tabindex: "0" },
							`mosquitto_pub -q 1 -t factory/press-1/reading \\\n  -m '{"temperature":60.5,"humidity":35.2,"sound":75.0}'`,
						),
					]),
		);
	}
	tick() {
		this.update();
	}
	redraw() {
		for (const tile of this.tiles.values()) tile.dirty = true;
		this.alarmVersion = -1;
		this.update();
	}
	leave() {}
}
