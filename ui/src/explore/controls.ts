// Which time range is asked about, and what it is compared with.

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { App } from "../app";
import { PRESETS } from "../words/time_range";

const BEFORE: [string, string][] = [
  ["same", "the period before"],
  ["1d", "a day earlier"],
  ["7d", "a week earlier"],
  ["none", "nothing"],
];

export function controls(app: App) {
  const { question } = app.place;
  const isPreset = !question.until && PRESETS.some(([value]) => value === question.since);
  const preset = (event: Event) => {
    const { value } = event.target as HTMLSelectElement;
    if (value !== "custom") app.explore({ since: value, until: "" });
  };
  return html`<div class="controls">
    <label>Time <select id="time" .value=${live(isPreset ? question.since : "custom")} @change=${preset}>
      ${PRESETS.map(([value, text]) => html`<option value=${value} ?selected=${isPreset && value === question.since}>${text}</option>`)}
      ${isPreset ? nothing : html`<option value="custom" selected>from … to …</option>`}
    </select></label>
    <details class="between" ?open=${!isPreset}>
      <summary>from … to</summary>
      <form @submit=${(event: Event) => between(app, event)}>
        <label>From <input name="since" .value=${live(question.since)} placeholder="2h, 2026-01-31T12:00" size="18" /></label>
        <label>To <input name="until" .value=${live(question.until)} placeholder="now" size="18" /></label>
        <button>Set</button>
      </form>
    </details>
    <label>Compared with <select
      id="before"
      ?disabled=${!question.since}
      .value=${live(question.before)}
      @change=${(event: Event) => app.explore({ before: (event.target as HTMLSelectElement).value })}
    >${BEFORE.map(([value, text]) => html`<option value=${value} ?selected=${value === question.before}>${text}</option>`)}</select></label>
    <button type="button" class="quiet" @click=${() => app.asker.refresh()}>Ask again</button>
  </div>`;
}

function between(app: App, event: Event): void {
  event.preventDefault();
  const form = new FormData(event.target as HTMLFormElement);
  app.explore({ since: String(form.get("since")).trim(), until: String(form.get("until")).trim() });
}
