// Alarms: the cards beside the plant, the list, what people do about them.
import { clock, make, moment, pill, reason, say, span, stateOf, time } from "./words.js";
import { drawCourse, makeCourse } from "./course.js";
import { post } from "./api.js";

const WAITING = ["alarm", "returned"],
	ALL = ["alarm", "returned", "acknowledged", "shelved"];
const OPERATOR = "isolde-operator",
	FLOOD = 10,
	BIN_MS = 600000,
	BINS = 24;

export const canAcknowledge = (state) => WAITING.includes(state);

async function act(app, row, verb, body, failed) {
	try {
		await post(`/alarms/${row.alarm.id}/${verb}`, body);
		app.announce(`${row.machine}: ${verb === "ack" ? "acknowledged" : verb.replace("-", " ")}`);
	} catch (error) {
		failed(error.message);
	}
}

const operator = () => localStorage.getItem(OPERATOR) ?? "";

function operatorField() {
	return make(
		"label",
		{},
		"Your name",
		make("input", { name: "operator", maxlength: 64, value: operator(), autocomplete: "name" }),
	);
}

export function acknowledge(app, row) {
	ask(app, row, "Acknowledge", "ack", [
		operatorField(),
		make("label", {}, "Note (may be empty)", make("input", { name: "reason", maxlength: 200 })),
	]);
}
export function shelve(app, row) {
	const times = [
		[15, "15 minutes"],
		[60, "1 hour"],
		[240, "4 hours"],
		[480, "8 hours"],
		[1440, "24 hours"],
	];
	ask(app, row, "Shelve", "shelve", [
		make(
			"label",
			{},
			"For",
			make(
				"select",
				{ name: "minutes" },
				...times.map(([minutes, text]) => make("option", { value: minutes, selected: minutes === 60 }, text)),
			),
		),
		make("label", {}, "Reason", make("input", { name: "reason", required: true, maxlength: 200 })),
		operatorField(),
	]);
}
export function deny(app, row) {
	ask(app, row, "False alarm", "false-alarm", [
		make("label", {}, "Why (may be empty)", make("input", { name: "reason", maxlength: 200 })),
		operatorField(),
	]);
}

function ask(app, row, title, verb, fields) {
	const error = make("p", { class: "error", role: "alert" });
	const form = make(
		"form",
		{
			method: "dialog",
			onsubmit: async (event) => {
				event.preventDefault();
				const body = {};
				for (const [name, value] of new FormData(form))
					if (value) body[name] = name === "minutes" ? Number(value) : value;
				localStorage.setItem(OPERATOR, body.operator ?? "");
				let bad = "";
				await act(app, row, verb, body, (text) => {
					bad = text;
				});
				if (bad) say(error, bad);
				else app.closeDialog();
			},
		},
		...fields,
		error,
		make(
			"div",
			{ class: "actions" },
			make("button", { type: "button", onclick: () => app.closeDialog() }, "Cancel"),
			make("button", { class: "main", type: "submit" }, title),
		),
	);
	app.openDialog(`${title}: ${row.machine}`, form);
}

export function buttons(app, row, state) {
	const can = { disabled: !app.live };
	const list = [];
	if (canAcknowledge(state))
		list.push(
			make(
				"button",
				{ ...can, type: "button", class: "main", "data-verb": "ack", onclick: () => acknowledge(app, row) },
				"Acknowledge",
			),
		);
	if (state === "shelved")
		list.push(
			make(
				"button",
				{
					...can,
					type: "button",
					"data-verb": "unshelve",
					onclick: () => act(app, row, "unshelve", { operator: operator() }, (text) => app.announce(text)),
				},
				"Unshelve",
			),
		);
	else
		list.push(
			make(
				"button",
				{ ...can, type: "button", "data-verb": "shelve", onclick: () => shelve(app, row) },
				"Shelve…",
			),
		);
	if (state !== "shelved")
		list.push(
			make(
				"button",
				{ ...can, type: "button", "data-verb": "false-alarm", onclick: () => deny(app, row) },
				"False alarm…",
			),
		);
	return make("div", { class: "actions" }, ...list);
}

// Rows with an alarm, those that need a person first.
export function alarmRows(app, states = ALL) {
	const now = app.now(),
		rank = { high: 0, medium: 1, low: 2 };
	const rows = [...app.rows.values()]
		.map((row) => [row, stateOf(row, now)])
		.filter(([, state]) => states.includes(state));
	return rows.sort(
		([a, x], [b, y]) =>
			ALL.indexOf(x) - ALL.indexOf(y) ||
			rank[a.alarm.priority] - rank[b.alarm.priority] ||
			b.alarm.since - a.alarm.since,
	);
}

function card(app, row, state, picture) {
	const alarm = row.alarm,
		now = app.now();
	const course = picture ? makeCourse() : null;
	if (course) drawCourse(course, row);
	return make(
		"div",
		{ class: `alarm is-${state}`, "data-machine": row.machine, "data-state": state },
		make(
			"div",
			{ class: "row" },
			pill(row, state),
			make("a", { href: `#/machine/${encodeURIComponent(row.machine)}` }, row.machine),
			make("span", { class: "small" }, `${alarm.priority} priority`),
			make("span", { class: "grow" }),
			time(alarm.since, `${moment(alarm.since)} (${span(now - alarm.since)})`),
		),
		make("div", {}, reason(row, state, app.model, now)),
		make(
			"div",
			{ class: "small" },
			[
				alarm.first_sensor && `First out: ${alarm.first_sensor}`,
				alarm.operator && `${alarm.operator} was here last`,
			]
				.filter(Boolean)
				.join(" · "),
		),
		course,
		buttons(app, row, state),
	);
}

// Cards are made anew when an alarm changes, and now and then for the time since; not under a hand.
export function cardVersion(app, holder) {
	if (!holder.contains(document.activeElement)) app.cardAge = Math.floor(Date.now() / 10000);
	return `${app.alarmVersion} ${app.cardAge}`;
}

export function alarmCards(holder, app, most, states, picture) {
	const list = alarmRows(app, states);
	const cards = list.slice(0, most).map(([row, state]) => card(app, row, state, picture));
	if (list.length > most)
		cards.push(make("p", {}, make("a", { href: "#/alarms" }, `${list.length - most} more`)));
	if (!list.length) cards.push(make("p", { class: "small" }, "None."));
	holder.replaceChildren(...cards);
}

// Raised alarms in bins of ten minutes, with the line above which they are a flood.
export function ratePicture(canvas, items) {
	const now = Date.now(),
		bins = new Array(BINS).fill(0);
	for (const item of items) {
		const bin = BINS - 1 - Math.floor((now - Date.parse(item.at)) / BIN_MS);
		if (item.event === "raised" && bin >= 0 && bin < BINS) bins[bin]++;
	}
	const css = getComputedStyle(document.documentElement),
		colour = (name) => css.getPropertyValue(name).trim();
	const ratio = window.devicePixelRatio || 1,
		width = canvas.clientWidth,
		height = canvas.clientHeight;
	canvas.width = width * ratio;
	canvas.height = height * ratio;
	const c = canvas.getContext("2d"),
		floor = height - 16,
		top = Math.max(FLOOD * 1.3, ...bins),
		y = (n) => floor - (n / top) * (floor - 4);
	c.scale(ratio, ratio);
	c.fillStyle = colour("--series");
	bins.forEach((n, i) => {
		if (n) c.fillRect((i * width) / BINS + 1, y(n), width / BINS - 2, floor - y(n));
	});
	c.strokeStyle = colour("--line");
	c.strokeRect(0, floor, width, 0);
	c.strokeStyle = colour("--warn");
	c.setLineDash([4, 3]);
	c.beginPath();
	c.moveTo(0, y(FLOOD));
	c.lineTo(width, y(FLOOD));
	c.stroke();
	c.font = "11px system-ui, sans-serif";
	c.fillStyle = colour("--ink2");
	c.textAlign = "right";
	c.fillText("flood: 10 in 10 min", width, y(FLOOD) + 12);
	c.fillText("now", width, height - 3);
	c.textAlign = "left";
	c.fillText(clock(now - BINS * BIN_MS, false), 0, height - 3);
	canvas.setAttribute(
		"aria-label",
		`Alarms per 10 minutes over the last 4 hours: ${bins[BINS - 1]} now, at most ${Math.max(...bins)}; more than ${FLOOD} are a flood`,
	);
}

const EVENTS = {
	raised: "Raised",
	updated: "Updated",
	cleared: "Over",
	acknowledged: "Acknowledged",
	shelved: "Shelved",
	unshelved: "Unshelved",
	expired: "Shelf ended",
	false_alarm: "False alarm",
	stopped: "Stopped",
	started: "Started",
	forgotten: "Forgotten",
};
export const eventWord = (event) => EVENTS[event] ?? event;

export class AlarmsView {
	constructor(app) {
		this.app = app;
		const part = (title, name) =>
			make(
				"section",
				{ class: "card" },
				make("header", {}, make("h2", {}, title)),
				(this[name] = make("div")),
			);
		this.element = make(
			"div",
			{},
			(this.title = make("h1")),
			make(
				"div",
				{ class: "columns" },
				make(
					"div",
					{ class: "side" },
					part("Waiting for somebody", "waiting"),
					part("Somebody has them", "had"),
					make(
						"section",
						{ class: "card" },
						make("header", {}, make("h2", {}, "What happened")),
						(this.past = make("div", { class: "scroll" })),
					),
				),
				make(
					"aside",
					{ class: "side", "aria-label": "How often" },
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
						(this.flood = make("p", { class: "note" })),
					),
				),
			),
		);
	}
	enter() {
		this.version = -1;
		this.update();
	}
	update() {
		const rates = this.app.status?.alarms;
		if (rates)
			say(
				this.flood,
				`${rates.raised_10min} raised in the last 10 minutes${rates.flood ? ": a flood" : ""}${rates.chattering ? `, ${rates.chattering} chattering` : ""}.`,
			);
		const version = cardVersion(this.app, this.element);
		if (this.version === version) return;
		this.version = version;
		const waiting = alarmRows(this.app, WAITING).length;
		say(
			this.title,
			waiting
				? `${waiting} ${waiting === 1 ? "alarm waits" : "alarms wait"} for somebody`
				: "No alarm waits for anybody",
		);
		alarmCards(this.waiting, this.app, 200, WAITING, true);
		alarmCards(this.had, this.app, 200, ["acknowledged", "shelved"], true);
		this.journal();
	}
	async journal() {
		const items = await this.app.journal();
		ratePicture(this.rates, items);
		const rows = items
			.slice(0, 200)
			.map((item) =>
				make(
					"tr",
					{},
					make("td", {}, time(Date.parse(item.at), moment(Date.parse(item.at), true))),
					make("td", {}, eventWord(item.event)),
					make("td", {}, make("a", { href: `#/machine/${encodeURIComponent(item.machine)}` }, item.machine)),
					make("td", {}, item.priority ?? ""),
					make("td", {}, item.first_sensor ?? ""),
					make("td", {}, [item.operator, item.reason].filter(Boolean).join(": ")),
				),
			);
		this.past.replaceChildren(
			rows.length
				? make(
						"table",
						{ class: "rows" },
						make(
							"thead",
							{},
							make(
								"tr",
								{},
								...["When", "What", "Machine", "Priority", "First out", "Who and why"].map((text) =>
									make("th", { scope: "col" }, text),
								),
							),
						),
						make("tbody", {}, ...rows),
					)
				: make("p", { class: "small" }, "Nothing yet."),
		);
	}
	redraw() {
		this.version = -1;
		this.update();
	}
	leave() {}
}
