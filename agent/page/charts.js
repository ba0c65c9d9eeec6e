// The charts of one machine: score and sensors over one span of time, which zoom and point together.
import { clock, day, mark } from "./words.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faint = (name, opacity) => {
	const value = colour(name),
		part = (i) => parseInt(value.slice(i, i + 2), 16);
	return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${opacity})`;
};

let prepared = false;
function prepare() {
	// dygraphs' legend writes style attributes, which our Content-Security-Policy refuses.
	if (!prepared) Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);
	prepared = true;
}

export class Charts {
	// `on`: zoom(from, to), leave(), point(index), choose(time).
	constructor(on) {
		prepare();
		this.on = on;
		this.charts = [];
		this.points = [];
		this.gaps = [];
		this.spans = [];
		this.marks = [];
	}
	// `parts`: [{ element, column, low, high, score }]; column of a point's values.
	build(parts) {
		this.destroy();
		parts.forEach((part, i) => {
			const last = i === parts.length - 1;
			const chart = new Dygraph(part.element, () => [[0, [null, null, null]]], {
				labels: ["time", "value"],
				customBars: true,
				connectSeparatedPoints: false,
				drawPoints: false,
				strokeWidth: 1.3,
				fillAlpha: 0.25,
				colors: [colour("--series")],
				gridLineColor: colour("--grid"),
				axisLineColor: colour("--line"),
				legend: "never",
				showLabelsOnHighlight: false,
				highlightCircleSize: 3,
				animatedZooms: false,
				rightGap: 4,
				xRangePad: 0,
				axisLabelFontSize: 11,
				axes: {
					x: {
						drawAxis: last,
						axisLabelFormatter: (ms) => this.label(ms),
						valueFormatter: (ms) => clock(ms),
						ticker: Dygraph.dateTicker,
						axisLabelWidth: 64,
						pixelsPerLabel: 90,
					},
					y: { axisLabelWidth: 46, axisLabelFormatter: (value) => mark(value), pixelsPerLabel: 26 },
				},
				interactionModel: { ...Dygraph.defaultInteractionModel, dblclick: () => this.on.leave() },
				underlayCallback: (context, area, g) => this.underlay(context, area, g, part),
				zoomCallback: (from, to) => {
					if (!this.busy) this.on.zoom(from, to);
				},
				highlightCallback: (event, x, found, row) => this.point(chart, row),
				unhighlightCallback: () => this.point(null, -1),
				clickCallback: (event, x) => this.on.choose(x),
			});
			this.charts.push(chart);
		});
		this.parts = parts;
	}
	label(ms) {
		const at = Number(ms);
		return this.to - this.from > 172800000
			? `${day(at).slice(5)} ${clock(at, false)}`
			: clock(at, this.to - this.from < 1200000);
	}
	point(origin, row) {
		for (const chart of this.charts) {
			if (chart === origin) continue;
			if (row < 0) chart.clearSelection();
			else chart.setSelection(row);
		}
		this.on.point(row < 0 ? -1 : this.rowPoint[row]);
	}
	// Points {t, threshold, anomalies, columns: [[min, mean, max], ...]}, oldest first.
	show(points, from, to, width, marks) {
		this.from = from;
		this.to = to;
		this.points = points;
		this.marks = marks;
		const rows = this.charts.map(() => []),
			steps = [];
		for (let i = 1; i < points.length; i++) steps.push(points[i].t - points[i - 1].t);
		steps.sort((a, b) => a - b);
		const most = Math.max(3.5 * (steps[Math.floor(steps.length / 2)] ?? 0), 3.5 * width, 1500);
		this.gaps = [];
		this.rowPoint = [];
		points.forEach((p, i) => {
			if (i > 0 && p.t - points[i - 1].t > most) {
				this.gaps.push([points[i - 1].t, p.t]);
				rows.forEach((list) => list.push([(points[i - 1].t + p.t) / 2, [null, null, null]]));
				this.rowPoint.push(-1);
			}
			this.parts.forEach((part, k) => rows[k].push([p.t, p.columns[part.column] ?? [null, null, null]]));
			this.rowPoint.push(i);
		});
		this.spans = this.over(points);
		const last = points.at(-1);
		if (last && to - last.t > most) this.gaps.push([last.t, to]);
		if (points[0] && points[0].t - from > most) this.gaps.push([from, points[0].t]);
		if (!points.length) this.gaps.push([from, to]);
		this.busy = true;
		this.charts.forEach((chart, k) =>
			chart.updateOptions({
				file: rows[k].length ? rows[k] : [[from, [null, null, null]]],
				dateWindow: [from, to],
				valueRange: this.range(this.parts[k]),
			}),
		);
		this.busy = false;
	}
	// Spans over the threshold: from half way to the neighbour before to half way to the one after,
	// and no farther than half a minute.
	over(points) {
		const spans = [];
		points.forEach((p, i) => {
			if (!p.anomalies) return;
			const from = Math.max(((points[i - 1]?.t ?? p.t) + p.t) / 2, p.t - 30000);
			const to = Math.min(((points[i + 1]?.t ?? p.t) + p.t) / 2, p.t + 30000);
			if (spans.length && from <= spans.at(-1)[1]) spans.at(-1)[1] = to;
			else spans.push([from, to]);
		});
		return spans;
	}
	// Room for what is there, for the threshold and for the healthy range; it only grows while the
	// window stays, so that the picture does not jump.
	range(part) {
		let low = Infinity,
			high = -Infinity;
		const take = (value) => {
			if (value === null || value === undefined) return;
			low = Math.min(low, value);
			high = Math.max(high, value);
		};
		for (const p of this.points) {
			const cell = p.columns[part.column];
			if (cell) {
				take(cell[0]);
				take(cell[2]);
			}
			if (part.score) take(p.threshold);
		}
		take(part.low);
		take(part.high);
		if (low > high) return [0, 1];
		const room = (high - low || Math.abs(high) || 1) * 0.08;
		const old = part.shown;
		if (old && low >= old[0] && high <= old[1] && high - low > 0.4 * (old[1] - old[0])) return old;
		return (part.shown = [low - room, high + room]);
	}
	underlay(c, area, g, part) {
		const x = (t) => Math.min(Math.max(g.toDomXCoord(t), area.x), area.x + area.w);
		const block = (from, to, style) => {
			c.fillStyle = style;
			c.fillRect(x(from), area.y, Math.max(x(to) - x(from), 1), area.h);
		};
		if (part.low !== undefined && part.low !== null) {
			c.fillStyle = colour("--band");
			const top = Math.max(g.toDomYCoord(part.high), area.y),
				bottom = Math.min(g.toDomYCoord(part.low), area.y + area.h);
			if (bottom > top) c.fillRect(area.x, top, area.w, bottom - top);
		}
		if (part.score) for (const [from, to] of this.spans) block(from, to, colour("--over"));
		for (const [from, to] of this.gaps) block(from, to, colour("--quiet-ground"));
		c.lineWidth = 1;
		if (part.score) this.thresholds(c, area, g, x);
		c.font = "12px system-ui, sans-serif";
		for (const raised of this.marks) {
			if (raised.t < this.from || raised.t > this.to) continue;
			c.strokeStyle = c.fillStyle = colour("--alarm");
			c.beginPath();
			c.moveTo(x(raised.t) + 0.5, area.y);
			c.lineTo(x(raised.t) + 0.5, area.y + area.h);
			c.stroke();
			if (!part.score) continue;
			const text = `${raised.text} ${clock(raised.t)}`,
				right = x(raised.t) > area.x + area.w - 170;
			c.textAlign = right ? "right" : "left";
			c.fillText(text, x(raised.t) + (right ? -5 : 5), area.y + 11);
		}
	}
	thresholds(c, area, g, x) {
		c.strokeStyle = colour("--alarm");
		c.setLineDash([5, 4]);
		c.beginPath();
		let last = null;
		for (const p of this.points) {
			if (p.threshold === null) continue;
			const y = Math.round(g.toDomYCoord(p.threshold)) + 0.5;
			if (last === null) c.moveTo(area.x, y);
			else if (y !== last) c.lineTo(x(p.t), last);
			c.lineTo(x(p.t), y);
			last = y;
		}
		if (last !== null) c.lineTo(area.x + area.w, last);
		c.stroke();
		c.setLineDash([]);
	}
	recolour() {
		for (const chart of this.charts)
			chart.updateOptions({
				colors: [colour("--series")],
				gridLineColor: colour("--grid"),
				axisLineColor: colour("--line"),
			});
	}
	resize() {
		for (const chart of this.charts) chart.resize();
	}
	// One picture of all charts, with their names.
	picture(title, names) {
		const boxes = this.parts.map((part) => part.element.getBoundingClientRect());
		const width = 140 + boxes[0].width,
			height = 34 + boxes.reduce((sum, box) => sum + box.height + 10, 0),
			ratio = 2;
		const canvas = document.createElement("canvas");
		canvas.width = width * ratio;
		canvas.height = height * ratio;
		const c = canvas.getContext("2d");
		c.scale(ratio, ratio);
		c.fillStyle = colour("--card");
		c.fillRect(0, 0, width, height);
		c.fillStyle = colour("--ink");
		c.font = "600 15px system-ui, sans-serif";
		c.fillText(title, 12, 22);
		let y = 34;
		this.parts.forEach((part, i) => {
			c.fillStyle = colour("--ink");
			c.font = "600 13px system-ui, sans-serif";
			c.fillText(names[i], 12, y + 16);
			for (const layer of part.element.querySelectorAll("canvas"))
				c.drawImage(layer, 140, y, boxes[i].width, boxes[i].height);
			c.font = "11px system-ui, sans-serif";
			c.fillStyle = colour("--ink2");
			for (const label of part.element.querySelectorAll(".dygraph-axis-label")) {
				const box = label.getBoundingClientRect();
				c.fillText(label.textContent, 140 + box.left - boxes[i].left, y + box.top - boxes[i].top + 11);
			}
			y += boxes[i].height + 10;
		});
		return canvas;
	}
	destroy() {
		for (const chart of this.charts) chart.destroy();
		this.charts = [];
	}
}
