// Talking to the agent: requests with a token where one is needed, and the stream of what changes.

const KEPT = "isolde-token";
let token = sessionStorage.getItem(KEPT) ?? "";
let wanted = () => {};

export const onTokenWanted = (listener) => {
	wanted = listener;
};
export function setToken(value, keep) {
	token = value;
	if (keep) sessionStorage.setItem(KEPT, value);
	else sessionStorage.removeItem(KEPT);
}

export class Refused extends Error {
	constructor(status, detail) {
		super(detail);
		this.status = status;
	}
}

export async function request(path, { headers = {}, ...options } = {}) {
	if (token) headers.Authorization = `Bearer ${token}`;
	const answer = await fetch(path, { cache: "no-store", ...options, headers });
	if (answer.ok) return answer;
	let detail = `${answer.status}`;
	try {
		const problem = await answer.json();
		detail = problem.errors?.[0] ? `${problem.errors[0].field}: ${problem.errors[0].detail}` : problem.detail;
	} catch {
		/* the status will do */
	}
	if (answer.status === 401 || (answer.status === 403 && /token/.test(detail))) wanted(detail);
	throw new Refused(answer.status, detail);
}

export const get = async (path, signal) => (await request(path, { signal })).json();
export const post = async (path, body) =>
	(
		await request(path, {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify(body),
		})
	).json();

const pause = (ms, signal) =>
	new Promise((done) => {
		const timer = setTimeout(done, ms);
		signal.addEventListener(
			"abort",
			() => {
				clearTimeout(timer);
				done();
			},
			{ once: true },
		);
	});

// Lets a frame come between where the work since the last one has taken long.
const BREATH_MS = 4;
let breathed = 0;
async function breathe() {
	if (performance.now() - breathed < BREATH_MS) return;
	await new Promise((done) => setTimeout(done));
	breathed = performance.now();
}

const STALE_MS = 5000,
	POLL_MS = 2000,
	POLLS = 15;

// One stream until it ends. Resolves to the last id; throws where the agent does not answer.
async function stream(cursor, take, signal) {
	const silence = new AbortController();
	let timer;
	const heard = () => {
		clearTimeout(timer);
		timer = setTimeout(() => silence.abort(), STALE_MS);
	};
	const stop = () => silence.abort();
	signal.addEventListener("abort", stop, { once: true });
	heard();
	try {
		const answer = await request("/events", { headers: { "Last-Event-ID": cursor }, signal: silence.signal });
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
		for (let text = ""; ;) {
			const { value, done } = await reader.read();
			if (done) return cursor;
			heard();
			text += value;
			const events = text.split("\n\n");
			text = events.pop();
			for (const event of events) {
				const field = (name) => event.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
				cursor = field("id") ?? cursor;
				take(field("event"), JSON.parse(field("data")), cursor);
				await breathe();
			}
		}
	} finally {
		clearTimeout(timer);
		signal.removeEventListener("abort", stop);
	}
}

// Follows the plant until `signal`: `take(event, data, cursor)` for what comes, `lost(error)` when
// the agent does not answer. `start` reads the whole plant and returns its cursor.
export async function follow({ start, take, lost, signal }) {
	const waits = [500, 1000, 2000, 2000, 3000];
	let cursor = null,
		failures = 0;
	while (!signal.aborted) {
		try {
			cursor ??= await start("stream");
			const seen = cursor;
			cursor = await stream(
				cursor,
				(event, data, id) => {
					failures = 0;
					cursor = id;
					take(event, data);
					if (event === "resync") cursor = null;
				},
				signal,
			);
			if (cursor === seen) await pause(200, signal); /* an agent that is stopping ends them at once */
		} catch (error) {
			if (signal.aborted) return;
			if (error.status === 503) {
				for (let i = 0; i < POLLS && !signal.aborted; i++) {
					cursor = await start("poll").catch((reason) => {
						lost(reason);
						return null;
					});
					await pause(POLL_MS, signal);
				}
				continue;
			}
			lost(error);
			await pause(waits[Math.min(failures++, waits.length - 1)], signal);
			cursor = null; /* what happened meanwhile comes with the whole plant */
		}
	}
}
