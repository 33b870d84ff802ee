// The records themselves, newest first: a page at a time, or live, with those that come on top.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Records, StoredRecord } from "../asking/answers";
import { panel } from "../drawing/parts";
import { textOf } from "../words/conditions";
import { cut, duration, moment, rate } from "../words/format";
import { scope } from "../words/question";
import { earlier, fed, LIMIT, MOST_WAITING } from "./feed";

const GAP_MS = 5 * 60_000;

export function records(app: App) {
  const asked = app.asker.ask<Records>("records", "records", { ...scope(app.place.question), limit: LIMIT });
  const { shown, waiting, next, trouble, came, began, isCut } = fed(app, asked);
  const { isLive } = app.look;
  const perSecond = rate((came * 1000) / Math.max(1000, Date.now() - began));
  const aside = html`<span class="live">
    ${isLive ? html`<small>${isCut ? `more than ${perSecond} arrive: not all are shown` : `${perSecond} arrive`}</small>` : nothing}
    ${waiting.length ? html`<button type="button" @click=${() => app.seen({ isLive: true })}>${waiting.length}${waiting.length >= MOST_WAITING ? " or more" : ""} new</button>` : nothing}
    <button type="button" aria-pressed=${isLive} @click=${() => app.seen({ isLive: !isLive })}>${isLive ? "Pause" : "Live"}</button>
  </span>`;
  const body = html`
    ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : nothing}
    ${shown.length ? recordTable(app, shown) : asked.answer && !asked.isPending ? html`<p class="empty">No records. Widen the time range or the filter.</p>` : nothing}
    ${next ? html`<p><button type="button" @click=${() => earlier(app)}>Earlier ones</button></p>` : nothing}`;
  return panel("records", "Records", asked, body, { aside });
}

export function recordTable(app: App, all: StoredRecord[]) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table of records"><table class="records">
    <thead><tr><th scope="col">Began</th><th scope="col">Status</th><th scope="col">Duration</th><th scope="col">Request</th><th scope="col">Variables</th></tr></thead>
    <tbody>${all.map((record, place) => html`${line(app, record)}${gap(record, all[place + 1])}`)}</tbody>
  </table></div>`;
}

function line(app: App, record: StoredRecord) {
  const isBad = record.outcome !== "ok" || (record.status ?? 0) >= 500;
  const how = record.error ?? (record.outcome === "ok" ? "" : record.outcome);
  return html`<tr class=${isBad ? "bad" : ""}>
    <td><a href=${app.href("record", { id: record.id })}>${moment(timeOf(record), "ms")}</a></td>
    <td>${record.status ?? "–"} ${how ? html`<span class="how"><bdi>${cut(how, 40)}</bdi></span>` : nothing}</td>
    <td>${duration(Number(record.duration_ns) / 1e6)}</td>
    <td class="request"><bdi>${record.method} ${cut(record.path, 120)}</bdi></td>
    <td class="variables"><bdi>${variablesText(record)}</bdi></td>
  </tr>`;
}

function variablesText(record: StoredRecord): string {
  let text = "";
  for (const [name, value] of Object.entries(record.variables)) {
    text += `${text ? "  " : ""}${cut(name, 60)}=${cut(textOf(value), 60)}`;
    if (text.length > 240) return cut(text, 240);
  }
  return text;
}

/** That nothing happened for a while says something, too. */
function gap(record: StoredRecord, before: StoredRecord | undefined) {
  const passed = before ? timeOf(record) - timeOf(before) : 0;
  return passed < GAP_MS
    ? nothing
    : html`<tr class="gap"><td colspan="5">${duration(passed)} without a request</td></tr>`;
}

export function timeOf(record: StoredRecord): number {
  return Number(record.time_ns) / 1e6;
}
