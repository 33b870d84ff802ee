// Record: everything about one request, with its sub-records and its neighbours.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Neighbours, OneRecord, StoredRecord } from "../asking/answers";
import { exactText } from "../asking/exact_json";
import { panel } from "../drawing/parts";
import { recordTable, timeOf } from "../explore/records";
import { equals, textOf, variableName } from "../words/conditions";
import { DAY_MS, duration, iso, moment } from "../words/format";

const MOST_VARIABLES = 200;
const MOST_CHARACTERS = 2000;
const FIELDS = [
  "service",
  "release",
  "host",
  "method",
  "path",
  "route",
  "status",
  "outcome",
  "error",
  "request_id",
  "id",
] as const;

export function recordPage(app: App) {
  const asked = app.asker.ask<OneRecord>("record", `record/${encodeURIComponent(app.place.id)}`);
  const found = asked.isPending ? undefined : asked.answer;
  const body = found ? whole(app, found) : nothing;
  return panel("record", "Record", asked, body, { csv: false });
}

function whole(app: App, { record, children, related, previous, next }: OneRecord) {
  const time = timeOf(record);
  return html`
    <h1><bdi>${record.method} ${record.path.slice(0, 200)}</bdi></h1>
    <p class="facts">
      <strong>${record.status ?? "no status"}</strong> ${record.error ? html`<strong class="how"><bdi>${record.error}</bdi></strong>` : nothing}
      ${record.outcome}, <strong>${duration(Number(record.duration_ns) / 1e6)}</strong>, began ${moment(time, "ms")},
      stored ${record.stored_at.slice(5, 19).replace("T", " ")}
    </p>
    <p class="copies">
      <a href=${app.href("record", { id: record.id })}>Link</a>
      ${copyButton(app, "chest find", `chest find id=${record.id}`)}
      ${copyButton(app, "curl", curl(record))}
      ${copyButton(app, "JSON", exactText(record, 2))}
    </p>
    ${neighbours(app, record, previous, next)}
    <div class="columns">
      <section aria-labelledby="variables-title"><h2 id="variables-title">Variables</h2>${values(app, record.variables, variableName, time)}</section>
      <section aria-labelledby="fields-title"><h2 id="fields-title">Fields</h2>${fields(app, record, time)}</section>
      <section aria-labelledby="attributes-title"><h2 id="attributes-title">Attributes</h2>${values(app, record.attributes, (name) => `attr.${name}`, time)}</section>
    </div>
    ${children.length ? html`<section aria-labelledby="children-title"><h2 id="children-title">Its jobs and events</h2>${recordTable(app, children)}</section>` : nothing}
    ${related.length ? html`<section aria-labelledby="related-title"><h2 id="related-title">With the same request_id</h2>${recordTable(app, related)}</section>` : nothing}
  `;
}

function neighbours(app: App, record: StoredRecord, previous: Neighbours, next: Neighbours) {
  const kinds: [keyof Neighbours, string][] = [
    ["user", "user"],
    ["host", `host ${record.host}`],
    ["worker", "worker"],
  ];
  const link = (id: string | null | undefined, text: string) =>
    id ? html`<a href=${app.href("record", { id })}>${text}</a>` : html`<span class="faint">${text}</span>`;
  return html`<nav class="neighbours" aria-label="Neighbours">
    ${kinds
      .filter(([kind]) => previous[kind] || next[kind])
      .map(
        ([kind, text]) =>
          html`<span>${link(previous[kind], "← previous")} of the same ${text} ${link(next[kind], "next →")}</span>`,
      )}
  </nav>`;
}

function fields(app: App, record: StoredRecord, time: number) {
  return html`<table class="values"><tbody>
    ${FIELDS.map((name) => row(app, name, record[name], name, time))}
    ${row(app, "time", record.time, null, time)}
    ${row(app, "duration", duration(Number(record.duration_ns) / 1e6), null, time)}
  </tbody></table>`;
}

function values(app: App, all: Record<string, unknown>, conditionName: (name: string) => string, time: number) {
  const entries = Object.entries(all);
  if (!entries.length) return html`<p class="empty">None.</p>`;
  return html`<table class="values"><tbody>
      ${entries.slice(0, MOST_VARIABLES).map(([name, value]) => row(app, name, value, conditionName(name), time))}
    </tbody></table>
    ${
      entries.length > MOST_VARIABLES
        ? html`<p class="hint">${(entries.length - MOST_VARIABLES).toLocaleString("en")} more: copy the JSON to have them all.</p>`
        : nothing
    }`;
}

/** A value, and beside it the way to all requests of that day that have it. */
function row(app: App, name: string, value: unknown, conditionName: string | null, time: number) {
  const text = value === null || value === undefined ? null : textOf(value);
  const isPlain = value === null || typeof value !== "object";
  const question = {
    filter: conditionName ? equals(conditionName, value) : "",
    since: iso(Math.floor(time) - DAY_MS / 2),
    until: iso(Math.ceil(time) + DAY_MS / 2),
  };
  const isAskable = conditionName && isPlain && (text?.length ?? 0) <= 200 && !/[\s=!<>~,]/.test(name);
  return html`<tr>
    <th scope="row"><bdi>${dotted(name.slice(0, 200))}</bdi></th>
    <td>${text === null ? html`<em>none</em>` : html`<bdi class=${isPlain ? "" : "json"}>${isPlain ? text.slice(0, MOST_CHARACTERS) : exactText(value, 2).slice(0, MOST_CHARACTERS)}</bdi>`}${
      text && text.length > MOST_CHARACTERS
        ? html` <small>… ${text.length.toLocaleString("en")} characters</small>`
        : nothing
    }</td>
    <td>${isAskable ? html`<a href=${app.href("explore", { question })} aria-label=${`all requests with this ${name}`} title=${`Half a day before and after: ${question.filter}`}>all</a>` : nothing}</td>
  </tr>`;
}

/** A name that breaks behind its dots, if it has to break. */
function dotted(name: string) {
  return name.split(".").map((part, place) => (place ? html`.<wbr>${part}` : part));
}

function copyButton(app: App, title: string, text: string) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      app.say(`Copied as ${title}`);
    } catch {
      window.prompt("Copy this text:", text); // without TLS a browser gives no clipboard
    }
  };
  return html`<button type="button" data-text=${text} @click=${copy}>Copy as ${title}</button>`;
}

/** The request again, as far as it was recorded: bodies, headers and secrets are not. */
function curl(record: StoredRecord): string {
  const attributes = record.attributes;
  const host = String(attributes["server.address"] ?? record.host ?? "localhost");
  const port = attributes["server.port"] ? `:${attributes["server.port"]}` : "";
  const query = attributes["url.query"] ? `?${attributes["url.query"]}` : "";
  const url = `${attributes["url.scheme"] ?? "http"}://${host}${port}${encodeURI(record.path)}${query}`;
  const method = /^[A-Z]+$/.test(record.method) ? record.method : "GET";
  return `curl${method === "GET" ? "" : ` -X ${method}`} -H ${shell(`X-Request-ID: ${record.request_id}`)} ${shell(url)}`;
}

function shell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
