// The plant: a tile for every machine, those that need somebody first.
import {
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
import { drawCourse, makeCourse } from "./course.js";

const PRIORITIES = { high: 0, medium: 1, low: 2 };
const BY_NAME = new Intl.Collator(undefined, { numeric: true });

// A thousand tiles at once would cost frames: those in sight are brought up to date first, so many
// a frame, and of the others some with every update.
const TILES_A_FRAME = 16,
	HIDDEN_TILES = 8,
	ROWS = 3; // of tiles that are in sight or out of it together: fewer parts to ask about

class Tile {
	constructor(name) {
		this.name = name;
		this.element = make(
			"a",
			{ class: "tile", href: `#/machine/${encodeURIComponent(name)}`, "data-machine": name },
			make(
				"span",
				{ class: "face" },
				make(
					"span",
					{ class: "head" },
					make("span", { class: "machine", title: name }, name),
					(this.pill = make("span")),
				),
				(this.why = make("span", { class: "why" })),
				(this.course = makeCourse()),
				make("span", { class: "foot" }, (this.since = make("span")), (this.score = make("span"))),
			),
		);
		this.element.tile = this;
	}
	get visible() {
		return this.element.parentNode?.inSight;
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
		if (this.stamp !== since) this.since.title = since ? utc(since) : "";
		this.stamp = since;
		say(
			this.score,
			row.score === null || row.score === undefined ? "" : `${number(row.score)} / ${number(row.threshold)}`,
		);
		if (this.visible) drawCourse(this.course, row);
	}
	refresh(app) {
		const row = app.rows.get(this.name);
		if (row?.state) this.show(row, row.state, app.model, app.now());
	}
}

export class PlantView {
	constructor(app) {
		this.app = app;
		this.tiles = new Map();
		this.due = new Set(); // tiles in sight that are behind
		this.later = new Set(); // and others
		this.watcher = new IntersectionObserver(
			(entries) => {
				for (const { target, isIntersecting } of entries) {
					target.inSight = isIntersecting;
					if (isIntersecting) this.hurry(target);
				}
			},
			{ rootMargin: "100px" },
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
		const order =
			this.tiles.size !== rows.size ||
			this.lastFilter !== filter + this.state ||
			shown.some((row) => this.tiles.get(row.machine)?.looked !== LOOK.has(row.state)) ||
			(Date.now() - this.sortedAt > 1000 && !this.element.querySelector(".tile:hover, .tile:focus-visible"));
		if (order) this.arrange(shown);
		this.plan(shown);
		if (order && shown.length > TILES_A_FRAME) this.work();
		else if (!this.working) this.step();
		const version = cardVersion(this.app, this.alarms);
		if (this.alarmVersion !== version) {
			this.alarmVersion = version;
			const waiting = counts.alarm + counts.returned;
			say(this.alarmNote, `${waiting} waiting, ${counts.acknowledged} acknowledged`);
			alarmCards(this.alarms, this.app, 6);
			this.journal();
		}
	}
	plan(shown) {
		for (const row of shown) {
			const tile = this.tiles.get(row.machine);
			if (tile?.visible) this.due.add(tile);
			else if (tile && tile.state !== row.state) this.later.add(tile);
		}
		const turn = this.turn ?? 0;
		for (let i = 0; i < Math.min(HIDDEN_TILES, shown.length); i++) {
			const tile = this.tiles.get(shown[(turn + i) % shown.length].machine);
			if (tile && !tile.visible) this.later.add(tile);
		}
		this.turn = shown.length ? (turn + HIDDEN_TILES) % shown.length : 0;
	}
	// Brings some of the tiles up to date, and goes on with the next frame while there are more.
	step() {
		let room = TILES_A_FRAME;
		for (const tiles of [this.due, this.later]) {
			for (const tile of tiles) {
				if (room-- <= 0) break;
				tiles.delete(tile);
				tile.refresh(this.app);
			}
		}
		if (this.due.size === 0) this.app.drawn();
		this.working = false;
		if (this.due.size + this.later.size > 0) this.work();
	}
	work() {
		if (this.working || !this.element.isConnected) return;
		this.working = true;
		requestAnimationFrame(() => this.step());
	}
	hurry(rows) {
		for (const { tile } of rows.children) this.due.add(tile);
		this.work();
	}
	arrange(shown) {
		this.rank(shown);
		shown.sort((a, b) => a.rank[0] - b.rank[0] || b.rank[1] - a.rank[1] || a.rank[2] - b.rank[2]);
		const place = (holder, list) => {
			if (!holder.firstChild && list.length) this.addRows(holder);
			const columns =
				list.length && getComputedStyle(holder.firstChild).gridTemplateColumns.split(" ").length;
			const size = columns * ROWS,
				count = list.length && Math.ceil(list.length / size);
			for (let i = 0; i < count; i++) {
				if (!holder.children[i]) this.addRows(holder);
				this.fill(holder.children[i], list.slice(i * size, (i + 1) * size));
			}
			while (holder.children.length > count) {
				this.watcher.unobserve(holder.lastChild);
				holder.lastChild.remove();
			}
		};
		const look = shown.filter((row) => LOOK.has(row.state)),
			quiet = shown.filter((row) => !LOOK.has(row.state));
		place(this.look, look);
		place(this.quiet, quiet);
		for (const [name, tile] of this.tiles) {
			if (this.app.rows.has(name)) continue;
			this.due.delete(tile);
			this.later.delete(tile);
			this.tiles.delete(name);
		}
		say(this.lookTitle, `Look at these (${whole(look.length)})`);
		say(this.quietTitle, `Quiet (${whole(quiet.length)})`);
		this.lookPart.hidden = look.length === 0;
		this.quietPart.hidden = quiet.length === 0;
		this.sortedAt = Date.now();
		this.lastFilter = this.app.filter + this.state;
	}
	// What tiles are sorted by: need, newest first where somebody is to look, name.
	rank(shown) {
		if (this.ranked !== this.app.rows.size) {
			this.ranked = this.app.rows.size;
			this.places = new Map([...this.app.rows.keys()].sort(BY_NAME.compare).map((name, i) => [name, i]));
		}
		for (const row of shown) {
			const need = ORDER.indexOf(row.state) * 10 + (row.state === "alarm" ? PRIORITIES[row.alarm.priority] : 0);
			row.rank = [
				need,
				LOOK.has(row.state) ? sinceOf(row, row.state) : 0,
				this.places.get(row.machine) ?? Infinity,
			];
		}
	}
	addRows(holder) {
		const rows = make("div", { class: "rows-of-tiles" });
		holder.append(rows);
		this.watcher.observe(rows);
	}
	fill(holder, list) {
		let next = holder.firstChild;
		for (const row of list) {
			let tile = this.tiles.get(row.machine);
			if (!tile) this.tiles.set(row.machine, (tile = new Tile(row.machine)));
			tile.looked = LOOK.has(row.state);
			if (next === tile.element) next = next.nextSibling;
			else holder.insertBefore(tile.element, next);
		}
		while (next) {
			const after = next.nextSibling;
			next.remove();
			next = after;
		}
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
	redraw() {
		this.sortedAt = 0; // there may be another number of columns now
		this.alarmVersion = -1;
		this.update();
	}
	leave() {}
}
