// The heatmap, with its counts in a table for people who do not see it.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Heatmap } from "../asking/answers";
import type { Asked } from "../asking/asker";
import { panel } from "../drawing/parts";
import { withCondition } from "../words/conditions";
import { count, duration, iso, moment } from "../words/format";
import { type Rectangle, scope } from "../words/question";

const COLUMNS = 100;
const ROWS = 40;

export function heatmapView(app: App, asked: Asked<Heatmap>) {
  const { question } = app.place;
  const data = asked.answer;
  const isEmpty = data && data.bounds_ms.length < 2;
  const body = isEmpty
    ? empty(app)
    : html`<chest-heatmap
          tabindex="0"
          role="application"
          aria-roledescription="heatmap"
          aria-label="Requests by time and duration. Arrows move a rectangle, Shift and arrows size it, Enter compares it with the rest."
          .answer=${data}
          .overlay=${overlay(app, data)}
          .rectangle=${question.rectangle}
          @choose=${(event: CustomEvent<Rectangle | null>) => app.explore({ rectangle: event.detail })}
          @say=${(event: CustomEvent<string>) => app.say(event.detail)}
        ></chest-heatmap>
        <p class="hint">Drag over the requests that you wonder about<span class="by-finger">, beginning sideways</span>; a click takes the rectangle away.${
          data?.overflow.some((each) => each > 0)
            ? html` Rings on top: slower than the axis, up to ${duration(data.overflow_ms)}.`
            : nothing
        }</p>
        ${data?.releases.length ? html`<p class="hint">${data.releases.map(({ release, time_ms }) => html`<span class="release">▾ release <bdi>${release}</bdi> from ${moment(time_ms)}</span> `)}</p>` : nothing}
        ${data ? countsTable(data) : nothing}`;
  return panel("heatmap", "Durations", asked, body);
}

export function askHeatmap(app: App): Asked<Heatmap> {
  return app.asker.ask<Heatmap>("heatmap", "heatmap", { ...scope(app.place.question), columns: COLUMNS, rows: ROWS });
}

function overlay(app: App, data: Heatmap | undefined): Heatmap | null {
  const { hovered } = app.look;
  if (!hovered || !data?.begin_ms || !data.end_ms) return null;
  const { filter } = app.place.question;
  const asked = app.asker.ask<Heatmap>("overlay", "heatmap", {
    filter: withCondition(filter, hovered),
    since: iso(Math.floor(data.begin_ms)),
    until: iso(Math.ceil(data.end_ms)),
    columns: COLUMNS,
    rows: ROWS,
  });
  return asked.isPending ? null : (asked.answer ?? null);
}

function empty(app: App) {
  const { filter, since } = app.place.question;
  return html`<div class="empty">
    <p>No request ${filter ? "matches" : "was recorded"} in this time range.</p>
    <p>
      ${since ? html`<button type="button" @click=${() => app.explore({ since: "", until: "" })}>Look at everything</button>` : nothing}
      ${filter ? html`<button type="button" @click=${() => app.explore({ filter: "" })}>Without the filter</button>` : nothing}
    </p>
    ${
      filter || since
        ? nothing
        : html`<p>Nothing is stored yet. Wrap an application in <code>ChestMiddleware</code>, send it a request, and ask again.
            <a href=${app.href("health")}>Health</a> shows what still waits.</p>`
    }
  </div>`;
}

/** Durations in few rows and times in few columns: 4,000 cells would be no help to anybody who listens. */
function countsTable(data: Heatmap) {
  const columns = Math.min(8, data.times_ms.length);
  const wide = Math.ceil(data.times_ms.length / columns);
  const rows = data.bounds_ms.length - 1;
  const high = Math.max(1, Math.ceil(rows / 8));
  const begins = Array.from({ length: Math.ceil(data.times_ms.length / wide) }, (_, place) => place * wide);
  const bands = Array.from({ length: Math.ceil(rows / high) }, (_, place) => place * high).reverse();
  const sum = (column: number, row: number) => {
    let all = 0;
    for (const counts of data.counts.slice(column, column + wide)) {
      for (const each of counts.slice(row, row + high)) all += each;
    }
    return all;
  };
  return html`<details class="counts"><summary>Counts as a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Counts of the heatmap"><table>
    <thead><tr><th scope="col">Duration</th>${begins.map((column) => html`<th scope="col">${moment(data.times_ms[column] ?? 0, "minute")}</th>`)}</tr></thead>
    <tbody>
      ${
        data.overflow.some((each) => each > 0)
          ? html`<tr><th scope="row">over ${duration(data.bounds_ms[rows])}</th>${begins.map((column) => html`<td>${count(data.overflow.slice(column, column + wide).reduce((a, b) => a + b, 0))}</td>`)}</tr>`
          : nothing
      }
      ${bands.map(
        (
          row,
        ) => html`<tr><th scope="row">${duration(data.bounds_ms[row])} to ${duration(data.bounds_ms[Math.min(rows, row + high)])}</th>
          ${begins.map((column) => html`<td>${count(sum(column, row))}</td>`)}</tr>`,
      )}
    </tbody>
  </table></div></details>`;
}
