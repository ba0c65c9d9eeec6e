// What is said of things: states, sentences, times, numbers. No element is touched here but made.

export const WORDS = {
	alarm: "Alarm",
	returned: "Ended, not seen",
	acknowledged: "Acknowledged",
	shelved: "Shelved",
	anomalous: "Anomalous",
	fault: "Sensor fault",
	silent: "Silent",
	learning: "Learning",
	stopped: "Stopped",
	normal: "Normal",
};
export const ORDER = [
	"alarm",
	"returned",
	"anomalous",
	"fault",
	"silent",
	"acknowledged",
	"shelved",
	"learning",
	"stopped",
	"normal",
];
export const LOOK = new Set(["alarm", "returned", "anomalous", "fault", "silent", "acknowledged"]);
const OF_ALARM = {
	unacknowledged: "alarm",
	returned: "returned",
	acknowledged: "acknowledged",
	shelved: "shelved",
};

// ---- small makers ----

export function make(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name === "class") element.className = value;
		else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (value === true) element.setAttribute(name, "");
		else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
	}
	element.append(...children.filter((child) => child !== null && child !== undefined));
	return element;
}

export function shape(state) {
	const space = "http://www.w3.org/2000/svg";
	const svg = document.createElementNS(space, "svg"),
		use = document.createElementNS(space, "use");
	svg.setAttribute("class", "shape");
	svg.setAttribute("aria-hidden", "true");
	use.setAttribute("href", `#shape-${state}`);
	svg.append(use);
	return svg;
}

// Changes an element's text only where it differs: a live page must not repaint for nothing.
export function say(element, text) {
	const { firstChild } = element;
	if (firstChild?.nodeType !== Node.TEXT_NODE || firstChild.nextSibling) {
		if (element.textContent !== text) element.textContent = text;
	} else if (firstChild.data !== text) {
		firstChild.data = text;
	}
}

// ---- numbers and times ----

const two = (n) => String(n).padStart(2, "0");

export function number(value) {
	if (value === null || value === undefined || Number.isNaN(value)) return "–";
	const size = Math.abs(value);
	if (size >= 1e6 || (size > 0 && size < 0.001)) return value.toPrecision(3);
	return size >= 1000
		? value.toFixed(0)
		: size >= 10
			? value.toFixed(1)
			: size >= 1
				? value.toFixed(2)
				: value.toFixed(3);
}
// For an axis: no more digits than the step between two marks needs.
export const mark = (value) => String(Number(value.toPrecision(6)));
export const whole = (value) =>
	Math.round(value)
		.toString()
		.replace(/\B(?=(\d{3})+$)/g, ",");
const UNITS = { degC: "°C", degF: "°F", percent: "%", um: "µm", us: "µs" };
export const unit = (name) => UNITS[name] ?? name;
export const withUnit = (value, name) => (name ? `${number(value)} ${unit(name)}` : number(value));
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");
export const share = (value) => `${Math.round(100 * value)} %`;

export function bytes(count) {
	const names = ["B", "kB", "MB", "GB", "TB"];
	let i = 0;
	for (; count >= 1000 && i < names.length - 1; i++) count /= 1000;
	return `${count >= 10 || i === 0 ? count.toFixed(0) : count.toFixed(1)} ${names[i]}`;
}

// "80666 MB free" as health says it, in the words of this page.
export const sized = (text) => text.replace(/(\d+) MB/, (all, count) => bytes(count * 1048576));

export function clock(ms, seconds = true) {
	const t = new Date(ms);
	return `${two(t.getHours())}:${two(t.getMinutes())}${seconds ? `:${two(t.getSeconds())}` : ""}`;
}
export function day(ms) {
	const t = new Date(ms);
	return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
}
// A time of today is a clock time; others bear their day.
export function moment(ms, seconds = false) {
	return day(ms) === day(Date.now()) ? clock(ms, seconds) : `${day(ms)} ${clock(ms, seconds)}`;
}
export const utc = (ms) =>
	new Date(ms)
		.toISOString()
		.replace("T", " ")
		.replace(/\.\d+Z$/, " UTC");

// Local time as text, UTC on hover.
export function time(ms, text) {
	return make("time", { datetime: new Date(ms).toISOString(), title: utc(ms) }, text ?? moment(ms));
}

export function span(ms) {
	const s = Math.max(0, Math.round(ms / 1000));
	if (s < 60) return `${s} s`;
	if (s < 600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
	if (s < 5400) return `${Math.round(s / 60)} min`;
	if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
	return `${Math.round(s / 86400)} d`;
}

// ---- a machine ----

export const silentFor = (row, now) =>
	row.received !== undefined && row.patience > 0 && now - row.received > row.patience;

export function stateOf(row, now) {
	if (row.stopped) return "stopped";
	const state = row.alarm && OF_ALARM[row.alarm.state];
	if (state) return state;
	if (row.received === undefined || silentFor(row, now)) return "silent";
	if (row.quality !== "good") return "fault";
	if (row.anomalous_since) return "anomalous";
	return row.score === null || !row.patience ? "learning" : "normal";
}

export function sinceOf(row, state) {
	const alarm = row.alarm;
	if (["alarm", "acknowledged", "shelved"].includes(state)) return alarm.since;
	if (state === "returned") return alarm.ended || alarm.since;
	if (state === "anomalous") return row.anomalous_since;
	if (state === "fault") return row.quality_since;
	return row.received ?? 0;
}

function featureOf(model, name) {
	return model?.features.find((feature) => feature.name === name);
}

function explained(why, model) {
	const out = why.filter((one) => one.value !== null && (one.value < one.low || one.value > one.high));
	const [first] = out;
	if (!first && why.length > 1) return `${capital(why[0].sensor)} and ${why[1].sensor} do not fit together`;
	if (!first)
		return `${capital(why[0].sensor)} is unusual: ${withUnit(why[0].value, featureOf(model, why[0].sensor)?.unit)}`;
	const direction = first.value > first.high ? "high" : "low";
	const also = out
		.slice(1)
		.filter((one) => one.share >= 0.25)
		.map((one) => one.sensor);
	const healthy = `healthy ${number(first.low)} to ${number(first.high)}`;
	return (
		`${capital(first.sensor)} is ${direction}: ${withUnit(first.value, featureOf(model, first.sensor)?.unit)} (${healthy})` +
		(also.length ? `, ${also.join(" and ")} too` : "")
	);
}

const FAULTS = {
	out_of_range: (sensor) => `${sensor} shows a value that is not possible`,
	stuck: (sensor, age) => `${sensor} has not changed${age}`,
	missing: (sensor) => `${sensor} is missing from the readings`,
	skew: () => "The machine's clock is wrong",
};

function fault(quality, row, now) {
	const named = row.alarm && row.alarm.causes.includes(quality) ? row.alarm.first_sensor : "";
	const sensor = named ? capital(named) : "A sensor";
	const lasted = row.quality === quality ? now - row.quality_since : 0,
		age = lasted >= 2000 ? ` for ${span(lasted)}` : "";
	return FAULTS[quality](sensor, age);
}

// Why a machine is in this state, in one sentence.
export function reason(row, state, model, now) {
	if (state === "stopped") return "Declared stopped: nothing raises an alarm";
	if (state === "normal") return "";
	if (state === "learning")
		return row.score === null
			? "Not scored: there is no model for these readings"
			: "Learning how often it sends; silence is not noticed yet";
	const causes =
		row.alarm && state in { alarm: 1, acknowledged: 1, shelved: 1, returned: 1 } ? row.alarm.causes : [];
	if (state === "returned") {
		const what = causes.includes("anomaly")
			? `${capital(row.alarm.first_sensor || "the machine")} was unusual`
			: causes.map((c) => c.replaceAll("_", " ")).join(", ");
		return `${capital(what)} for ${span(row.alarm.ended - row.alarm.since)}; over since ${clock(row.alarm.ended, false)}`;
	}
	if (causes.includes("silent") || state === "silent")
		return row.received === undefined
			? "No reading since the agent started"
			: `No reading for ${span(now - row.received)}; ${span(row.patience)} is the longest pause expected`;
	const broken = causes.find((cause) => cause in FAULTS) ?? (row.quality in FAULTS ? row.quality : undefined);
	if (broken && !causes.includes("anomaly")) return fault(broken, row, now);
	if (row.why?.length) return explained(row.why, model);
	if (causes.includes("anomaly") && row.alarm.first_sensor)
		return `${capital(row.alarm.first_sensor)} was unusual; the last reading is not`;
	return state === "shelved" ? "Nothing unusual in the last reading" : "The readings are unusual together";
}

export function word(row, state) {
	return state === "shelved" ? `Shelved until ${clock(row.alarm.shelved_until, false)}` : WORDS[state];
}

export function pill(row, state) {
	return make("span", { class: `pill is-${state}` }, shape(state), word(row, state));
}
