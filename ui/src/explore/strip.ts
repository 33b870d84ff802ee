// The strip: rate, errors, p50 and p95 over time, with the period before drawn faint; a click shows one of them larger, by group.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { OverTime, TimeRow, Top } from "../asking/answers";
import type { Asked } from "../asking/asker";
import type { Line, Lines } from "../drawing/lines";
import { basisText, panel } from "../drawing/parts";
import { change, duration, iso, points, rate, share } from "../words/format";
import { type Metric, offsetMs, scope, scopeBefore } from "../words/question";

const STEPS = 60;
const GROUP_COLOURS = ["group-0", "group-1", "group-2", "group-3", "group-4", "group-5"];

interface Measure {
  name: string;
  of: (row: TimeRow) => number | null;
  whole: (row: NonNullable<NonNullable<Top["everything"]>["before"]>) => number | null;
  format: (value: number | null | undefined) => string;
  isShare?: boolean;
}

const MEASURES: Record<Metric, Measure> = {
  rate: { name: "Rate", of: (row) => row.rate_per_s, whole: (row) => row.rate_per_s, format: rate },
  errors: {
    name: "Errors",
    of: (row) => (row.requests ? row.errors / row.requests : null),
    whole: (row) => row.error_share,
    format: share,
    isShare: true,
  },
  p50: { name: "p50", of: (row) => row.p50_ms, whole: (row) => row.p50_ms, format: duration },
  p95: { name: "p95", of: (row) => row.p95_ms, whole: (row) => row.p95_ms, format: duration },
};

export function strip(app: App, top: Asked<Top>) {
  const { question } = app.place;
  const now = app.asker.ask<OverTime>("over-time", "over-time", { ...scope(question), steps: STEPS });
  const offset = offsetMs(question);
  const { begin_ms: begin, end_ms: end } = now.answer ?? {};
  const before =
    offset !== null && begin !== undefined && end !== undefined && !now.isPending
      ? app.asker.ask<OverTime>("over-time-before", "over-time", {
          ...scopeBefore(question, Math.floor(begin), Math.floor(end), offset),
          steps: STEPS,
        })
      : null;
  return html`
    <div class="strip" role="group" aria-label="Now, and before" aria-busy=${now.isPending || before?.isPending ? "true" : "false"}>
      ${(Object.keys(MEASURES) as Metric[]).map((metric) => tile(app, metric, now, before?.answer, offset, top))}
    </div>
    ${now.trouble && !now.trouble.isFilter ? html`<p class="trouble" role="alert">${now.trouble.text}</p>` : nothing}
    ${question.metric ? larger(app, question.metric) : nothing}
  `;
}

function tile(
  app: App,
  metric: Metric,
  now: Asked<OverTime>,
  before: OverTime | undefined,
  offset: number | null,
  top: Asked<Top>,
) {
  const measure = MEASURES[metric];
  const everything = top.answer?.everything;
  const value = everything ? measure.whole(everything) : undefined;
  const earlier = everything?.before?.requests ? measure.whole(everything.before) : undefined;
  const isChosen = app.place.question.metric === metric;
  return html`<article class="tile" aria-label=${measure.name}>
    <button
      type="button"
      aria-pressed=${isChosen}
      title=${isChosen ? "Show it small" : "Show it larger, by group"}
      @click=${() => app.open(app.href("explore", { question: { ...app.place.question, metric: isChosen ? "" : metric } }))}
    >
      <span class="what">${measure.name}</span>
      <strong>${measure.format(value)}</strong>
      ${
        value !== null && value !== undefined && earlier !== null && earlier !== undefined
          ? html`<span class="change">${measure.isShare ? `${points(value - earlier)} points` : change(value, earlier)}
              <small>was ${measure.format(earlier)}</small></span>`
          : nothing
      }
      ${basisText(top.answer?.basis)}
    </button>
    <chest-lines
      .lines=${linesOf(measure, now.answer, before, offset)}
      @range=${(event: CustomEvent<{ from: number; to: number }>) => between(app, event.detail)}
    ></chest-lines>
  </article>`;
}

function between(app: App, { from, to }: { from: number; to: number }): void {
  app.explore({ since: iso(Math.floor(from)), until: iso(Math.ceil(to)) });
}

function linesOf(
  measure: Measure,
  now: OverTime | undefined,
  before: OverTime | undefined,
  offset: number | null,
): Lines {
  const rows = whole(now?.groups[0]?.rows ?? [], now);
  const lines: Line[] = [];
  if (before && now && offset !== null) {
    const earlier = new Map(
      (before.groups[0]?.rows ?? []).map((row) => [placeOf(row.time_ms + offset, now), measure.of(row)] as const),
    );
    const values = rows.map((row) => earlier.get(placeOf(row.time_ms, now)) ?? null);
    lines.push({ label: "before", colour: "before", values });
  }
  lines.push({ label: measure.name, colour: measure.isShare ? "bad" : "accent", values: rows.map(measure.of) });
  return {
    times: rows.map((row) => row.time_ms),
    lines,
    releases: now?.releases ?? [],
    format: measure.format,
    height: 96,
    isSmall: true,
  };
}

/** Without the last step if less than half of it has passed: few requests would look like a fall. */
function whole(rows: TimeRow[], now: OverTime | undefined): TimeRow[] {
  const last = rows.at(-1);
  const isShort = now?.end_ms !== undefined && last && now.end_ms - last.time_ms < now.step_ms / 2;
  return isShort && rows.length > 2 ? rows.slice(0, -1) : rows;
}

function placeOf(time: number, now: OverTime): number {
  return Math.round((time - (now.groups[0]?.rows[0]?.time_ms ?? 0)) / now.step_ms);
}

function larger(app: App, metric: Metric) {
  const { question } = app.place;
  const measure = MEASURES[metric];
  const asked = app.asker.ask<OverTime>("over-time-by", "over-time", {
    ...scope(question),
    by: question.by,
    steps: 120,
  });
  const groups = asked.answer?.groups.slice(0, GROUP_COLOURS.length) ?? [];
  const lines: Lines = {
    times: groups[0]?.rows.map((row) => row.time_ms) ?? [],
    lines: groups.map(({ group, rows }, place) => ({
      label: group ?? "none",
      colour: GROUP_COLOURS[place] ?? "accent",
      values: rows.map(measure.of),
    })),
    releases: asked.answer?.releases ?? [],
    format: measure.format,
    height: 240,
    isSmall: false,
  };
  return panel(
    "larger",
    html`${measure.name} by ${question.by}`,
    asked,
    html`<chest-lines .lines=${lines} @range=${(event: CustomEvent<{ from: number; to: number }>) => between(app, event.detail)}></chest-lines>`,
  );
}
