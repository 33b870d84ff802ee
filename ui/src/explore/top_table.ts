// The table by any field: which groups cost the most time, fail most often, are slowest. Two groups can be compared.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Top, TopRow } from "../asking/answers";
import type { Asked } from "../asking/asker";
import { panel, shown, sparkline, valueButton } from "../drawing/parts";
import { equals } from "../words/conditions";
import { change, count, duration, points, rate, share } from "../words/format";
import { offsetMs, scope } from "../words/question";

const ROWS = 20;
const USUAL = ["route", "release", "host", "service", "method", "status", "outcome", "error"];

interface Column {
  title: string;
  /** What the server sorts by. */
  sort: string;
  of: (row: TopRow) => string;
  against?: (row: TopRow, before: NonNullable<TopRow["before"]>) => string;
}

const COLUMNS: Column[] = [
  {
    title: "Count",
    sort: "count",
    of: (row) => count(row.requests),
    against: (row, before) => change(row.requests, before.requests),
  },
  { title: "Rate", sort: "count", of: (row) => rate(row.rate_per_s) },
  {
    title: "Errors",
    sort: "errors",
    of: (row) => share(row.error_share),
    against: (row, before) => points(row.error_share - before.error_share),
  },
  {
    title: "p50",
    sort: "p50",
    of: (row) => duration(row.p50_ms),
    against: (row, before) => change(row.p50_ms, before.p50_ms),
  },
  {
    title: "p95",
    sort: "p95",
    of: (row) => duration(row.p95_ms),
    against: (row, before) => change(row.p95_ms, before.p95_ms),
  },
  { title: "p99", sort: "p99", of: (row) => duration(row.p99_ms) },
  { title: "Longest", sort: "max", of: (row) => duration(row.max_ms) },
  {
    title: "Total time",
    sort: "total",
    of: (row) => duration(row.total_ms),
    against: (row, before) => change(row.total_ms, before.total_ms),
  },
];

export function askTop(app: App): Asked<Top> {
  const { question } = app.place;
  const offset = offsetMs(question);
  return app.asker.ask<Top>("top", "top", {
    ...scope(question),
    by: question.by,
    sort: question.sort,
    limit: ROWS,
    against: offset === null ? "" : `${offset / 1000}s`,
  });
}

export function topTable(app: App, asked: Asked<Top>) {
  const { by } = app.place.question;
  const form = html`<form class="by" @submit=${(event: Event) => divide(app, event)}>
    <label>by <input name="by" list="names" .value=${by} size="14" /></label>
    <datalist id="names">${USUAL.map((name) => html`<option value=${name}></option>`)}</datalist>
    <button>Show</button>
  </form>`;
  const rows = asked.answer?.rows ?? [];
  const left = (asked.answer?.groups ?? 0) - rows.length;
  const body = rows.length
    ? html`<div class="scroll" tabindex="0" role="region" aria-label="Table by group"><table class="top">
          <thead><tr>
            <th scope="col"><span class="unseen">Compare</span></th><th scope="col" class="group"><bdi>${by}</bdi></th>
            ${COLUMNS.map((column) => heading(app, column))}
            <th scope="col">Over time</th>
          </tr></thead>
          <tbody>${rows.map((row) => line(app, row))}</tbody>
        </table></div>
        ${left > 0 ? html`<p class="hint">${count(left)} more groups.</p>` : nothing} ${comparing(app)}`
    : asked.answer && !asked.isPending
      ? html`<p class="empty">No requests, so no groups.</p>`
      : nothing;
  return panel("top", "Groups", asked, body, { aside: form });
}

function divide(app: App, event: Event): void {
  event.preventDefault();
  const by = String(new FormData(event.target as HTMLFormElement).get("by")).trim();
  if (by) app.explore({ by });
}

function heading(app: App, { title, sort }: Column) {
  const { question } = app.place;
  if (title === "Rate") return html`<th scope="col">${title}</th>`;
  const isSorted = question.sort === sort;
  const order = () => app.open(app.href("explore", { question: { ...question, sort } }));
  return html`<th scope="col" aria-sort=${isSorted ? "descending" : "none"}>
    <button type="button" class="sort" @click=${order}>${title}${isSorted ? " ↓" : ""}</button>
  </th>`;
}

function line(app: App, row: TopRow) {
  const condition = row.condition ?? equals(app.place.question.by, row.group);
  const isMarked = app.look.marked.includes(condition);
  const isOthers = row.condition === null;
  return html`<tr>
    <td>${isOthers ? nothing : html`<input type="checkbox" aria-label=${`Compare ${row.group ?? "none"}`} .checked=${isMarked} @change=${() => mark(app, condition)} />`}</td>
    <th scope="row" class="group">${isOthers ? shown(row.group) : valueButton(app, condition, shown(row.group))}</th>
    ${COLUMNS.map(
      (column) =>
        html`<td>${column.of(row)}${
          row.before?.requests && column.against ? html` <small>${column.against(row, row.before)}</small>` : nothing
        }</td>`,
    )}
    <td>${sparkline(row.spark)}</td>
  </tr>`;
}

function mark(app: App, condition: string): void {
  const { marked } = app.look;
  const others = marked.filter((each) => each !== condition);
  app.seen({ marked: marked.includes(condition) ? others : [...others, condition].slice(-2) });
}

function comparing(app: App) {
  const [one, other] = app.look.marked;
  if (!one) return html`<p class="hint">Mark a group to compare it with the rest, or two to compare them.</p>`;
  const these = other ?? one;
  const others = other ? one : "";
  return html`<p><button type="button" id="compare" @click=${() => app.explore({ these, others })}>
    What is different about ${these}${others ? ` beside ${others}` : ""}
  </button></p>`;
}
