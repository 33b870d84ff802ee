// The records themselves, newest first: a page at a time, or live, with those that come on top.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Records, StoredRecord } from "../asking/answers";
import { panel } from "../drawing/parts";
import { textOf } from "../words/conditions";
import { cut, duration, moment, rate } from "../words/format";
import { scope } from "../words/question";

const LIMIT = 50;
const LIVE_MS = 2000;
const MOST_LIVE = 500;
const GAP_MS = 5 * 60_000;

/** What came since, and what was asked for beyond the first page: of one question. */
const more = {
  of: "",
  newer: [] as StoredRecord[],
  older: [] as StoredRecord[],
  next: null as string | number | null,
  trouble: "",
  began: 0,
  newest: null as string | number | null,
};
let timer: ReturnType<typeof setTimeout> | undefined;

export function records(app: App) {
  const { question } = app.place;
  const asked = app.asker.ask<Records>("records", "records", { ...scope(question), limit: LIMIT });
  const of = JSON.stringify(asked.url) + (asked.isPending ? "?" : "");
  if (more.of !== of)
    Object.assign(more, {
      of,
      newer: [],
      older: [],
      next: asked.answer?.next ?? null,
      newest: asked.answer?.newest ?? null,
      trouble: "",
      began: Date.now(),
    });
  const first = asked.answer?.records ?? [];
  const { isLive } = app.look;
  if (!asked.isPending && !asked.trouble) follow(app, first);
  const all = [...(isLive ? more.newer : []), ...first, ...more.older];
  const waiting = isLive ? 0 : more.newer.length;
  const aside = html`<span class="live">
    ${isLive ? html`<small>${rate((more.newer.length * 1000) / Math.max(1000, Date.now() - more.began))} arrive</small>` : nothing}
    ${waiting ? html`<button type="button" @click=${() => app.seen({ isLive: true })}>${waiting}${waiting >= MOST_LIVE ? " or more" : ""} new</button>` : nothing}
    <button type="button" aria-pressed=${isLive} @click=${() => app.seen({ isLive: !isLive })}>${isLive ? "Pause" : "Live"}</button>
  </span>`;
  const body = html`
    ${more.trouble ? html`<p class="trouble" role="alert">${more.trouble}</p>` : nothing}
    ${all.length ? recordTable(app, all) : asked.answer && !asked.isPending ? html`<p class="empty">No records. Widen the time range or the filter.</p>` : nothing}
    ${more.next ? html`<p><button type="button" @click=${() => older(app)}>Earlier ones</button></p>` : nothing}`;
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

async function older(app: App): Promise<void> {
  const { of } = more;
  try {
    const found = await app.asker.once<Records>("records", {
      ...scope(app.place.question),
      limit: LIMIT,
      before_id: more.next,
    });
    if (more.of !== of) return;
    more.older.push(...found.records);
    more.next = found.next;
  } catch (error) {
    more.trouble = (error as Error).message;
  }
  app.redraw();
}

/** Ask for what came since, while the page is looked at. A range that ends gets nothing new. */
function follow(app: App, first: StoredRecord[]): void {
  if (timer !== undefined || app.place.question.until) return;
  const { of } = more;
  timer = setTimeout(async () => {
    timer = undefined;
    if (more.of !== of || app.place.page !== "explore") return;
    const newest = more.newest ?? (more.newer[0] ?? first[0])?.id ?? 0; // 0: behind nothing, for an empty store
    if (!document.hidden && more.newer.length < MOST_LIVE) {
      try {
        const { since: _, ...where } = scope(app.place.question);
        const found = await app.asker.once<Records>("records", { ...where, limit: LIMIT, after_id: newest });
        if (more.of !== of) return;
        more.newest = found.newest ?? null;
        more.newer = [...found.records, ...more.newer].slice(0, MOST_LIVE);
        more.trouble = "";
      } catch (error) {
        more.trouble = (error as Error).message;
      }
    }
    app.redraw();
  }, LIVE_MS);
}
