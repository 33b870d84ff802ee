// Health: what waits on this host, what was dropped and why, service by service.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import { panel } from "../drawing/parts";
import { duration } from "../words/format";

type Fact = string | number | boolean | null | Fact[] | { [name: string]: Fact };

export function healthPage(app: App) {
  const asked = app.asker.ask<{ services?: Fact[] }>("health", "health");
  const services = asked.answer?.services ?? [];
  const body = !asked.answer
    ? nothing
    : services.length
      ? services.map((service) => facts(service))
      : html`<p class="empty">No application records on this host. Health is known where the application runs, or from its directory.</p>`;
  return html`<h1 class="unseen">Health</h1>${panel("health", "Health", asked, body, { csv: false })}`;
}

function facts(fact: Fact): unknown {
  if (Array.isArray(fact)) return fact.length ? table(fact) : html`<span class="faint">none</span>`;
  if (fact === null) return html`<span class="faint">unknown</span>`;
  if (typeof fact !== "object")
    return html`<bdi>${typeof fact === "number" ? fact.toLocaleString("en") : String(fact)}</bdi>`;
  const entries = Object.entries(fact);
  if (!entries.length) return html`<span class="faint">none</span>`;
  return html`<table class="values"><tbody>${entries.map(
    ([name, value]) => html`<tr><th scope="row"><bdi>${words(name)}</bdi></th><td>${inUnit(name, value)}</td></tr>`,
  )}</tbody></table>`;
}

function table(rows: Fact[]): unknown {
  const [first] = rows;
  if (typeof first !== "object" || first === null || Array.isArray(first))
    return rows.map((row) => html`<div>${facts(row)}</div>`);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row as object)))];
  return html`<table><thead><tr>${names.map((name) => html`<th scope="col"><bdi>${words(name)}</bdi></th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${names.map((name) => html`<td>${inUnit(name, (row as Record<string, Fact>)[name] ?? null)}</td>`)}</tr>`)}</tbody></table>`;
}

/** dead_letters → dead letters; the unit at the end of a name goes to its value. */
function words(name: string): string {
  return name.replace(/_(ms|seconds)$/, "").replaceAll("_", " ");
}

function inUnit(name: string, value: Fact): unknown {
  if (typeof value === "number" && name.endsWith("_ms")) return duration(value);
  if (typeof value === "number" && name.endsWith("_seconds")) return duration(value * 1000);
  return facts(value);
}
