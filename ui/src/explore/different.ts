// What is different about a selection: every field and variable, ranked; bars for these requests and for the others.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Compared, Difference } from "../asking/answers";
import { bar, panel, shown, valueButton } from "../drawing/parts";
import { opposite, withCondition } from "../words/conditions";
import { count, duration, moment, points, share } from "../words/format";
import { type Question, rectangleFilter, scope } from "../words/question";

const MOST_NAMES = 12;
const MOST_VALUES = 3;

export function hasSelection(question: Question): boolean {
  return question.rectangle !== null || question.these !== "";
}

export function different(app: App) {
  const { question } = app.place;
  const { rectangle } = question;
  const asked = app.asker.ask<Compared>("compare", "compare", {
    ...scope(question),
    selection: rectangle ? rectangleFilter(rectangle) : question.these,
    from: rectangle?.from,
    to: rectangle?.to,
    against: rectangle ? "" : question.others,
  });
  const found = asked.answer;
  const body = html`
    <p class="selection">${described(question)}
      <button type="button" class="quiet" @click=${() => app.explore({})}>No selection</button>
      ${rectangle ? html`<button type="button" class="quiet" @click=${() => only(app)}>Only these</button>` : nothing}
    </p>
    ${found && !asked.isPending ? ranked(app, found) : nothing}`;
  return panel("different", "What is different", asked, body);
}

function only(app: App): void {
  const { question } = app.place;
  const { rectangle } = question;
  if (!rectangle) return;
  const filter = `${question.filter} ${rectangleFilter(rectangle)}`.trim();
  app.explore({ filter, since: new Date(rectangle.from).toISOString(), until: new Date(rectangle.to).toISOString() });
}

function described({ rectangle, these, others }: Question) {
  if (!rectangle) return html`<code>${these}</code> beside ${others ? html`<code>${others}</code>` : "the rest"}`;
  const { from, to, low, high } = rectangle;
  const how = high === null ? `over ${duration(low)}` : `${duration(low)} to ${duration(high)}`;
  return `${how}, ${moment(from)} to ${moment(to).slice(6)}`;
}

function ranked(app: App, { these, others, rows }: Compared) {
  if (these === 0)
    return html`<p class="empty">No request is in this selection. Choose a larger part of the heatmap.</p>`;
  if (others === 0)
    return html`<p class="empty">Every request is in this selection, so there is nothing to compare it with.</p>`;
  const clear = rows.filter((row) => row.is_clear !== false);
  if (!clear.length)
    return html`<p class="empty">Nothing tells these ${count(these)} requests from the ${count(others)} others.</p>`;
  const names = new Map<string, Difference[]>();
  for (const row of clear) names.set(row.name, [...(names.get(row.name) ?? []), row]);
  return html`
    <p class="legend"><span class="key these"></span> these ${count(these)} <span class="key others"></span> ${count(others)} others</p>
    <ol class="names">
      ${[...names].slice(0, MOST_NAMES).map(
        ([name, values]) => html`<li>
          <h3><bdi>${name}</bdi></h3>
          <ul>${values.slice(0, MOST_VALUES).map((row) => html`<li>${difference(app, row)}</li>`)}</ul>
        </li>`,
      )}
    </ol>
    <p class="hint">Click: only these. Shift-click or <kbd>x</kbd>: without these. Pointing at a value shows where it lies in the heatmap.</p>`;
}

function difference(app: App, row: Difference) {
  const interval = `${points(row.low)} to ${points(row.high)}`;
  return html`<div class="difference">${valueButton(
    app,
    row.condition,
    html`<span class="unseen">${row.name} </span><span class="text">${shown(row.value)}</span>
      <span class="numbers">${share(row.these_share)}<span class="unseen"> of these, </span> <span class="faint">/ ${share(row.others_share)}</span><span class="unseen"> of the others, </span></span>
      <span class="bars">${bar(row.these_share, "these")}${bar(row.others_share, "others")}</span>
      <small class="sure">${points(row.difference)} points (${interval})</small>`,
  )}${row.condition === null ? nothing : exclusion(app, row.condition)}</div>`;
}

function exclusion(app: App, condition: string) {
  const exclude = () => app.explore({ filter: withCondition(app.place.question.filter, opposite(condition)) });
  return html`<button
    type="button"
    class="quiet"
    aria-label=${`Without ${condition}`}
    title="Without these (x)"
    @click=${exclude}
  >×</button>`;
}
