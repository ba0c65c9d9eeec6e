// The course of a machine's score over the last ten minutes, and its picture: score over threshold,
// -1 to 3 from bottom to top, so that the threshold lies at the same height in every picture; what
// is above it is thick, missing time is a grey block. The picture is SVG: a canvas for each of a
// thousand tiles is a layer for each of them, and style sheets colour paths by themselves.

export const COURSE = 60;
const STEP_MS = 10000,
	TOP = 63;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// As plant_level in the agent: 1 is the threshold; -1 .. 3 in 64 steps, -1 for no score.
function level(score, threshold) {
	if (score === null || threshold === null) return -1;
	const at = 1 + (score - threshold) / Math.max(Math.abs(threshold), 0.05);
	return Math.round(((Math.min(Math.max(at, -1), 3) + 1) / 4) * TOP);
}

const changed = (row) => {
	row.courseVersion = (row.courseVersion ?? 0) + 1;
};

// As the agent wrote it, or a new one.
export function takeCourse(row, text) {
	row.course = text === undefined ? new Array(COURSE).fill(-1) : Array.from(text, (c) => LETTERS.indexOf(c));
	row.course_step ??= 0;
	changed(row);
}

export function moveCourse(row, now) {
	const step = Math.floor(now / STEP_MS),
		by = Math.min(step - row.course_step, COURSE);
	if (by <= 0) return;
	row.course.splice(0, by);
	for (let i = 0; i < by; i++) row.course.push(-1);
	row.course_step = step;
	changed(row);
}

export function addToCourse(row) {
	moveCourse(row, row.received);
	const reached = level(row.score, row.threshold);
	if (reached <= row.course[COURSE - 1]) return;
	row.course[COURSE - 1] = reached;
	changed(row);
}

const SPACE = "http://www.w3.org/2000/svg";

export function makeCourse() {
	const svg = document.createElementNS(SPACE, "svg");
	svg.setAttribute("viewBox", `0 -3 ${COURSE} ${TOP + 6}`);
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	svg.setAttribute("class", "course");
	for (const name of ["gap", "line", "under", "over"]) {
		const path = document.createElementNS(SPACE, "path");
		path.setAttribute("class", name);
		if (name === "line") path.setAttribute("d", `M0 ${TOP / 2}H${COURSE}`);
		svg.append(path);
	}
	return svg;
}

export function drawCourse(svg, row) {
	if (svg.row === row && svg.version === row.courseVersion) return;
	svg.row = row;
	svg.version = row.courseVersion;
	const { course } = row;
	const at = (i) => `${i + 0.5} ${TOP - course[i]}`;
	const path = { gap: "", under: "", over: "" };
	for (let i = 0, before; i < COURSE; i++) {
		const missing = course[i] < 0,
			kind = missing ? "gap" : course[i] > TOP / 2 ? "over" : "under";
		if (missing) path.gap += `M${i}-3h1v${TOP + 6}h-1z`;
		else if (i === 0 || course[i - 1] < 0) path[kind] += `M${at(i)}h0`;
		else path[kind] += before === kind ? `L${at(i)}` : `M${at(i - 1)}L${at(i)}`;
		before = kind;
	}
	for (const name in path) svg.querySelector(`.${name}`).setAttribute("d", path[name]);
}
