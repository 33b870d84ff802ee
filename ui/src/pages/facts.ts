// facts: any JSON as tables of names and values, with a unit if the name has one.

import { html } from "lit-html";
import { duration } from "../words/format";

export type Fact = string | number | boolean | null | Fact[] | { [name: string]: Fact };

export function facts(fact: Fact): unknown {
  if (Array.isArray(fact)) {
    return fact.length ? fact.map((each) => html`<div>${facts(each)}</div>`) : html`<span class="faint">none</span>`;
  }
  if (fact === null) return html`<span class="faint">none</span>`;
  if (typeof fact !== "object") {
    return html`<bdi>${typeof fact === "number" ? fact.toLocaleString("en") : String(fact)}</bdi>`;
  }
  const entries = Object.entries(fact);
  if (!entries.length) return html`<span class="faint">none</span>`;
  return html`<table class="values"><tbody>${entries.map(
    ([name, value]) =>
      html`<tr><th scope="row"><bdi>${name.replace(/_(ms|seconds)$/, "").replaceAll("_", " ")}</bdi></th><td>${inUnit(name, value)}</td></tr>`,
  )}</tbody></table>`;
}

function inUnit(name: string, value: Fact): unknown {
  if (typeof value === "number" && name.endsWith("_ms")) return duration(value);
  if (typeof value === "number" && name.endsWith("_seconds")) return duration(value * 1000);
  return facts(value);
}
