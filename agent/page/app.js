// The page: what it knows of the plant, the view in front, the keys.
import { follow, get, onTokenWanted, setToken } from "./api.js";
import { AlarmsView, acknowledge, alarmRows, canAcknowledge, shelve } from "./alarms.js";
import { addToCourse, moveCourse, takeCourse } from "./course.js";
import { MachineView } from "./machine.js";
import { PlantView } from "./plant.js";
import { bytes, clock, make, say, sized, span, stateOf, whole } from "./words.js";

const $ = (id) => document.getElementById(id);
const JOURNAL_MS = 2000,
	TICK_MS = 500,
	UPDATE_MS = 150,
	HIDDEN_MS = 10000,
	SAY_MS = 5000;

const app = {
	rows: new Map(),
	ages: [],
	behind: [],
	model: null,
	status: null,
	features: [],
	filter: "",
	live: false,
	started: false,
	alarmVersion: 0,
	skew: 0, // of the agent's clock before ours
	now() {
		return (this.live ? Date.now() : (this.heardAt ?? Date.now())) + this.skew;
	},

	// ---- moving about ----
	address(path, query) {
		const text = new URLSearchParams(
			Object.entries(query).filter(([, value]) => value !== "" && value !== null),
		).toString();
		return path + (text ? `?${text}` : "");
	},
	go(path, query = {}, replace = false) {
		const url = this.address(path, query);
		if (replace) history.replaceState(null, "", url);
		else history.pushState(null, "", url);
		route();
	},
	replace(path, query) {
		history.replaceState(null, "", this.address(path, query));
	},
	clearFilter() {
		$("filter").value = this.filter = "";
		this.go("#/", {}, true);
	},

	// ---- saying ----
	announce(text) {
		const wait = Math.max(0, (this.saidAt ?? 0) + SAY_MS - Date.now());
		clearTimeout(this.saying);
		this.saying = setTimeout(
			() => {
				this.saidAt = Date.now();
				say($("said"), text);
			},
			this.saidAt ? wait : 0,
		);
	},
	openDialog(title, content) {
		$("dialog").replaceChildren(make("h2", { id: "dialog-title" }, title), content);
		if (!$("dialog").open) $("dialog").showModal();
	},
	closeDialog() {
		$("dialog").close();
	},

	// From the arrival of the readings in hand to the picture of them.
	drawn() {
		for (const [age, at] of this.ages.splice(0)) this.behind.push(age + performance.now() - at);
		this.behind.splice(0, this.behind.length - 50);
	},

	// The journal of alarms, asked for once a while however many want it.
	journal() {
		if (
			!this.journalAt ||
			Date.now() - this.journalAt > JOURNAL_MS ||
			this.journalVersion !== this.alarmVersion
		) {
			this.journalAt = Date.now();
			this.journalVersion = this.alarmVersion;
			this.journalItems = get("/alarms?history=1&limit=1000")
				.then((answer) => answer.items)
				.catch(() => []);
		}
		return this.journalItems;
	},
};

// ---- what comes from the agent ----

function takeRow(next) {
	const old = app.rows.get(next.machine);
	const row = old ? Object.assign(old, next) : next;
	if (typeof next.course === "string" || !row.course) takeCourse(row, next.course);
	if (typeof next.course !== "string" && next.received !== undefined) addToCourse(row);
	app.rows.set(row.machine, row);
	return [old, row];
}

const alarmText = (row) =>
	(row.alarm
		? [
				row.alarm.id,
				row.alarm.state,
				row.alarm.priority,
				row.alarm.causes,
				row.alarm.operator,
				row.alarm.shelved_until,
			].join()
		: "") + row.stopped;

function takeRows(rows) {
	for (const next of rows) {
		const was = app.rows.get(next.machine)?.alarmText ?? "";
		const [, row] = takeRow(next);
		row.alarmText = alarmText(row);
		if (row.alarmText === was) continue;
		app.alarmVersion++;
		if (app.started && row.alarm?.state === "unacknowledged" && !was.includes(`${row.alarm.id},unack`))
			app.announce(`Alarm: ${row.machine}`);
	}
}

function takeStatus(status) {
	app.status = status;
	app.skew = status.now - Date.now();
	const ledger = status.health.ledger;
	const before = (app.measured ??= status);
	if (status.now - before.now >= 900) {
		app.measured = status;
		const seconds = (status.now - before.now) / 1000,
			old = before.health.ledger,
			count = status.latency.count - before.latency.count;
		if (ledger.received >= old.received) app.rate = (ledger.received - old.received) / seconds;
		if (count > 0) app.lag = (1000 * (status.latency.seconds - before.latency.seconds)) / count;
	}
	if (status.model?.id !== app.model?.id) app.model = status.model;
	strip();
}

function heard(how) {
	app.heardAt = Date.now();
	app.how = how ?? app.how;
	if (app.live) return;
	app.live = true;
	document.body.classList.remove("stale");
	$("lost").hidden = true;
	app.alarmVersion++;
	showLive();
	view?.back?.();
}

function lost(error) {
	if (error?.status === 401 || error?.status === 403) return;
	app.live = false;
	app.lostAt ??= Date.now();
	document.body.classList.add("stale");
	app.alarmVersion++;
	showLive();
	strip();
	view?.update();
}

async function start(how) {
	const answer = await get("/plant");
	const names = new Set(answer.machines.map((row) => row.machine));
	for (const name of app.rows.keys()) if (!names.has(name)) app.rows.delete(name);
	app.features = answer.features;
	takeStatus(answer.status);
	takeRows(answer.machines);
	app.started = true;
	app.lostAt = null;
	heard(how);
	soon();
	return answer.cursor;
}

function take(event, data) {
	heard("stream");
	app.lostAt = null;
	if (event === "machines") {
		app.skew = data.now - Date.now();
		takeRows(data.machines);
		const age = Math.max(
			0,
			...data.machines.map((row) =>
				row.received && data.now - row.received < 5000 ? data.now - row.received : 0,
			),
		);
		app.ages.push([age, performance.now()]);
		soon();
	} else if (event === "status") takeStatus(data);
}

// Many events, one update; the plant takes some frames for the picture of it.
let planned = false,
	updatedAt = -UPDATE_MS;
function soon() {
	if (planned) return;
	planned = true;
	setTimeout(() => requestAnimationFrame(update), updatedAt + UPDATE_MS - performance.now());
}
function update() {
	planned = false;
	updatedAt = performance.now();
	view?.update();
	badge();
	if (view !== views.plant) app.drawn();
}

// ---- the bar and the strip ----

function badge() {
	const waiting = alarmRows(app, ["alarm", "returned"]).length;
	$("waiting").hidden = waiting === 0;
	say($("waiting"), String(waiting));
	const title = `${waiting ? `(${waiting}) ` : ""}${app.live || !app.started ? "" : "Not live: "}Isolde`;
	if (document.title !== title) document.title = title;
}

function showLive() {
	const element = $("live");
	element.classList.toggle("on", app.live);
	if (app.live) {
		const text = app.how === "poll" ? "Live every 2 s" : "Live";
		const worst = Math.max(0, ...app.behind.slice(-10)) / 1000;
		say(
			element,
			`${text} · ${app.behind.length ? `${worst.toFixed(1)} s behind · ` : ""}${clock(Date.now())}`,
		);
		element.dataset.behind = JSON.stringify(app.behind.map(Math.round));
		$("lost").hidden = true;
		return;
	}
	if (!app.started && !app.lostAt) return;
	say(element, app.heardAt ? `Not live since ${clock(app.heardAt)}` : "Not live");
	$("lost").hidden = false;
	say(
		$("lost"),
		app.heardAt
			? `The agent does not answer. Everything below is as it was ${span(Date.now() - app.heardAt)} ago; trying again.`
			: "The agent does not answer; trying again.",
	);
}

const CHECKS = {
	broker: "The broker",
	subscription: "The subscription",
	store: "The history",
	disk: "The disk",
	model: "The model",
};

function strip() {
	const element = $("strip"),
		status = app.status;
	if (!app.live || !status) {
		element.classList.remove("unwell");
		element.replaceChildren(make("b", {}, app.started ? "State of Isolde not known" : "Asking the agent …"));
		return;
	}
	const { health } = status,
		ledger = health.ledger;
	const troubles = Object.entries(health.checks)
		.filter(([, check]) => check.status !== "ok")
		.map(([name, check]) => `${CHECKS[name] ?? name}: ${check.detail}`);
	const missing =
		ledger.received - ledger.stored - ledger.duplicate - ledger.rejected - ledger.dropped - ledger.pending;
	if (ledger.dropped > 0) troubles.push(`${whole(ledger.dropped)} readings were dropped`);
	if (status.alarms.flood) troubles.push(`a flood of alarms: ${status.alarms.raised_10min} in 10 minutes`);
	element.classList.toggle("unwell", troubles.length > 0);
	const facts = [
		make("b", {}, troubles.length ? troubles[0] : "Isolde is well"),
		...troubles.slice(1, 3),
		app.rate === undefined ? "" : `${app.rate >= 10 ? whole(app.rate) : app.rate.toFixed(1)} readings/s`,
		app.lag === undefined ? "" : `lag ${app.lag < 10 ? app.lag.toFixed(1) : whole(app.lag)} ms`,
		health.checks.broker.status === "ok" ? `broker connected, agent up ${span(health.uptime_s * 1000)}` : "",
		`store ${bytes(status.store_bytes)}, ${sized(health.checks.disk.detail)}`,
		`${whole(ledger.received)} readings in, ${missing === 0 ? "all accounted for" : `${whole(missing)} not accounted for`}${ledger.rejected ? `, ${whole(ledger.rejected)} rejected` : ""}`,
		app.model ? `model ${app.model.id.slice(0, 8)}` : "no model",
	];
	element.replaceChildren(
		...facts.filter(Boolean).map((fact) => (typeof fact === "string" ? make("span", {}, fact) : fact)),
	);
}

// ---- views ----

const views = { plant: new PlantView(app), alarms: new AlarmsView(app), machine: null };
let view = null;

function route() {
	const [path, search = ""] = location.hash.slice(1).split("?"),
		query = new URLSearchParams(search);
	const machine = path.match(/^\/machine\/([^/]+)$/);
	const name = machine ? "machine" : path === "/alarms" ? "alarms" : "plant";
	if (name === "machine") views.machine ??= new MachineView(app);
	const next = views[name],
		moved = view !== next;
	if (moved) {
		view?.leave();
		view = next;
		$("main").replaceChildren(view.element);
		scrollTo(0, 0);
	}
	for (const link of document.querySelectorAll("[data-view]")) {
		if (link.dataset.view === name) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
	if (name === "plant" && query.has("name")) $("filter").value = app.filter = query.get("name").toLowerCase();
	view.enter(query, machine ? decodeURIComponent(machine[1]) : "");
}

// ---- theme, filter, keys ----

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme() {
	const now = localStorage.getItem("isolde-theme") ?? (dark.matches ? "dark" : "light");
	document.documentElement.dataset.theme = now;
	say($("theme"), now === "dark" ? "Light" : "Dark");
	view?.redraw();
}
function switchTheme() {
	localStorage.setItem("isolde-theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
	theme();
}

const KEYS = [
	["/", "filter machines"],
	["j k", "next, previous machine"],
	["Enter", "open it"],
	["g, Esc", "the plant"],
	["l", "the alarms"],
	["a", "acknowledge"],
	["s", "shelve"],
	["space", "pause, resume"],
	["1 … 7", "range"],
	["[ ]", "earlier, later"],
	["t", "light or dark"],
	["?", "this list"],
];

function showKeys() {
	const off = localStorage.getItem("isolde-keys") === "off";
	app.openDialog(
		"Keys",
		make(
			"div",
			{},
			make(
				"dl",
				{},
				...KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)]),
			),
			make(
				"label",
				{ class: "check" },
				make("input", {
					type: "checkbox",
					checked: !off,
					onchange: (event) => localStorage.setItem("isolde-keys", event.target.checked ? "on" : "off"),
				}),
				"Single keys do something",
			),
			make(
				"div",
				{ class: "actions" },
				make("button", { type: "button", class: "main", onclick: () => app.closeDialog() }, "Close"),
			),
		),
	);
}

function neighbour(by) {
	const tiles = [...document.querySelectorAll("a.tile")],
		at = tiles.indexOf(document.activeElement);
	tiles[Math.min(Math.max(at + by, 0), tiles.length - 1)]?.focus();
}

// The machine that a key is about: the one in front, or the one in focus, or the first that waits.
function current() {
	const name =
		view === views.machine ? view.name : document.activeElement?.closest?.("[data-machine]")?.dataset.machine;
	return name ? app.rows.get(name) : alarmRows(app, ["alarm", "returned"])[0]?.[0];
}

const actions = {
	"/": () => $("filter").focus(),
	j: () => neighbour(1),
	k: () => neighbour(-1),
	g: () => app.go("#/"),
	Escape: () => app.go("#/"),
	l: () => app.go("#/alarms"),
	t: switchTheme,
	"?": showKeys,
	a: () => {
		const row = current();
		if (row && app.live && canAcknowledge(stateOf(row, app.now()))) acknowledge(app, row);
	},
	s: () => {
		const row = current();
		if (row?.alarm && app.live && ["alarm", "returned", "acknowledged"].includes(stateOf(row, app.now())))
			shelve(app, row);
	},
	" ": () => view.pause?.(),
	"[": () => view.move?.(-1),
	"]": () => view.move?.(1),
};

document.addEventListener("keydown", (event) => {
	if (
		event.ctrlKey ||
		event.altKey ||
		event.metaKey ||
		$("dialog").open ||
		localStorage.getItem("isolde-keys") === "off"
	)
		return;
	const field = event.target.matches("input, select, textarea");
	if (field && event.key === "Escape") event.target.blur();
	if (field || (event.key === " " && event.target.matches("button, a"))) return;
	const action = /^[1-7]$/.test(event.key)
		? view.key && (() => view.key(Number(event.key) - 1))
		: actions[event.key];
	if (!action) return;
	event.preventDefault();
	action();
});

$("filter").addEventListener("input", () => {
	app.filter = $("filter").value.trim().toLowerCase();
	if (view !== views.plant) app.go("#/");
	const state = view.state ?? "";
	app.replace("#/", { state, name: app.filter });
	view.update();
});
$("theme").addEventListener("click", switchTheme);
$("keys").addEventListener("click", showKeys);
dark.addEventListener("change", theme);
addEventListener("hashchange", route);
addEventListener("popstate", route);
addEventListener("resize", () => view?.redraw());
document.querySelector(".skip").addEventListener("click", (event) => {
	event.preventDefault();
	$("main").focus();
});

onTokenWanted((detail) => {
	if ($("dialog").open) return;
	const field = make("input", { type: "password", name: "token", required: true, autocomplete: "off" }),
		keep = make("input", { type: "checkbox" });
	const form = make(
		"form",
		{
			method: "dialog",
			onsubmit: () => {
				setToken(field.value.trim(), keep.checked);
				restart();
			},
		},
		make("label", {}, "Token", field),
		make("label", { class: "check" }, keep, "Keep it until this tab is closed"),
		make("div", { class: "actions" }, make("button", { class: "main", type: "submit" }, "Go on")),
	);
	app.openDialog("Isolde wants a token", make("div", {}, make("p", { class: "note" }, detail), form));
});

// Only a tab that is seen has a stream: a browser gives one host six connections.
let following = null,
	hiding = 0;
function restart() {
	following?.abort();
	following = new AbortController();
	follow({ start, take, lost, signal: following.signal });
}
document.addEventListener("visibilitychange", () => {
	clearTimeout(hiding);
	if (document.hidden) {
		hiding = setTimeout(() => {
			following?.abort();
			following = null;
			app.live = false;
		}, HIDDEN_MS);
	} else if (!following) restart();
});

setInterval(() => {
	if (app.live && following && Date.now() - app.heardAt > 5000) lost();
	for (const row of app.rows.values()) if (app.live) moveCourse(row, app.now());
	showLive();
	view?.tick?.();
	soon();
}, TICK_MS);

// The shapes become part of the page: they have to be there when the agent is not.
async function loadShapes() {
	const text = await (await fetch("/page/shapes.svg")).text();
	const shapes = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
	shapes.setAttribute("class", "unseen");
	shapes.setAttribute("aria-hidden", "true");
	document.body.append(shapes);
}

theme();
route();
loadShapes();
restart();
