// What there is before anything is selected: every field and variable, with its most frequent values.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Values, ValuesRow } from "../asking/answers";
import { bar, panel, shown, valueButton } from "../drawing/parts";
import { equals } from "../words/conditions";
import { count, share } from "../words/format";
import { scope } from "../words/question";

const MOST_NAMES = 30;
const MOST_VALUES = 5;

export function distributions(app: App) {
  const asked = app.asker.ask<Values>("values", "values", scope(app.place.question));
  const rows = asked.answer?.rows ?? [];
  const wanted = app.look.wantedName.toLowerCase();
  const found = rows
    .filter((row) => row.name.toLowerCase().includes(wanted))
    .sort((one, other) => rank(one) - rank(other));
  const body = html`
    <label class="unseen" for="wanted">Find a field or variable</label>
    <input
      id="wanted"
      type="search"
      placeholder=${`Find one of ${count(rows.length)} fields and variables`}
      @input=${(event: Event) => app.seen({ wantedName: (event.target as HTMLInputElement).value })}
    />
    <ol class="names">${found.slice(0, MOST_NAMES).map((row) => html`<li>${distribution(app, row)}</li>`)}</ol>
    ${found.length > MOST_NAMES ? html`<p class="hint">${count(found.length - MOST_NAMES)} more: type a part of the name.</p>` : nothing}`;
  return panel("distributions", "What there is", asked, body);
}

/** What has one value only, or another for each request, comes last: it divides nothing. */
function rank(row: ValuesRow): number {
  const most = row.top[0]?.share ?? 0;
  return row.distinct < 2 || most < 0.005 ? 1 : 0;
}

function distribution(app: App, row: ValuesRow) {
  const isDivided = app.place.question.by === row.name;
  return html`<h3>
      <bdi>${row.name}</bdi> <small>${row.type}, ${count(row.distinct)} ${row.distinct === 1 ? "value" : "values"}${row.present_share < 0.9995 ? `, ${share(row.present_share)} have it` : ""}</small>
      ${isDivided ? nothing : html`<button type="button" class="quiet" aria-label=${`Table by ${row.name}`} @click=${() => app.explore({ by: row.name })}>by</button>`}
    </h3>
    <ul>
      ${row.top.slice(0, MOST_VALUES).map(
        (value) =>
          html`<li>${valueButton(
            app,
            value.condition ?? equals(row.name, value.value),
            html`<span class="text">${shown(value.value)}</span>
            <span class="numbers">${share(value.share)} <span class="faint">${count(value.count)}</span></span>
            <span class="bars">${bar(value.share, "these")}</span>`,
          )}</li>`,
      )}
    </ul>`;
}
