// New: errors and values with when they were first and last seen.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { New, Seen } from "../asking/answers";
import { panel, shown } from "../drawing/parts";
import { equals } from "../words/conditions";
import { ago, count, moment } from "../words/format";
import { PRESETS } from "../words/time_range";

export function newPage(app: App) {
  const since = app.place.question.since;
  const asked = app.asker.ask<New>("new", "new", { since });
  const choice = html`<label>Since <select
    @change=${(event: Event) => app.open(app.href("new", { question: { since: (event.target as HTMLSelectElement).value } }))}
  >${PRESETS.filter(([value]) => value).map(([value, text]) => html`<option value=${value} ?selected=${value === since}>${text}</option>`)}</select></label>`;
  const { errors = [], values = [] } = asked.answer ?? {};
  const body = asked.answer
    ? html`
        <h3>New errors</h3>
        ${errors.length ? seenTable(app, errors, since, false) : html`<p class="empty">No new error in this time range.</p>`}
        <h3>New values</h3>
        ${values.length ? seenTable(app, values, since, true) : html`<p class="empty">No value was seen for the first time in this time range.</p>`}`
    : nothing;
  return html`<h1 class="unseen">New</h1>${panel("new", "New", asked, body, { aside: choice })}`;
}

function seenTable(app: App, rows: Seen[], since: string, hasNames: boolean) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${hasNames ? "New values" : "New errors"}><table>
    <thead><tr>
      ${hasNames ? html`<th scope="col" class="group">Name</th>` : nothing}
      <th scope="col" class="group">Value</th><th scope="col">First seen</th><th scope="col">Last seen</th><th scope="col">Count</th>
    </tr></thead>
    <tbody>${rows.map((row) => line(app, row, since, hasNames))}</tbody>
  </table></div>`;
}

function line(app: App, row: Seen, since: string, hasNames: boolean) {
  const filter = row.condition ?? equals(row.name ?? "error", row.value);
  return html`<tr>
    ${hasNames ? html`<th scope="row" class="group"><bdi>${row.name}</bdi></th>` : nothing}
    <td class="group"><a href=${app.href("explore", { question: { filter, since } })}>${shown(row.value)}</a></td>
    <td>${moment(row.first_seen_ms)} <small>${ago(row.first_seen_ms)}</small></td>
    <td>${row.last_seen_ms === null ? "–" : html`${moment(row.last_seen_ms)} <small>${ago(row.last_seen_ms)}</small>`}</td>
    <td>${count(row.count)}</td>
  </tr>`;
}
