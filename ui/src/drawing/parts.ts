// Small pieces that several views are made of.

import { html, nothing, svg, type TemplateResult } from "lit-html";
import type { App } from "../app";
import type { Basis } from "../asking/answers";
import type { Asked } from "../asking/asker";
import { opposite, withCondition } from "../words/conditions";

/** "exact", or from how many records it is estimated. */
export function basisText(basis: Basis | undefined) {
  if (!basis) return nothing;
  const isSure = basis.exact && basis.complete;
  const title = `${basis.seen.toLocaleString("en")} of ${basis.of.toLocaleString("en")} records were looked at, in ${basis.seconds.toFixed(2)} s`;
  return html`<small class=${isSure ? "basis" : "basis estimated"} title=${title}>${isSure ? "exact" : `≈ ${basis.text}`}</small>`;
}

/** A part of the page with its heading, what its numbers rest on, and links to the same as JSON and CSV. */
export function panel(
  id: string,
  title: string | TemplateResult,
  asked: Asked<object> | null,
  body: unknown,
  more: { aside?: unknown; csv?: boolean } = {},
) {
  return html`<section class="panel" aria-labelledby=${`${id}-title`} aria-busy=${asked?.isPending ? "true" : "false"} id=${id}>
    <header>
      <h2 id=${`${id}-title`}>${title}</h2>
      ${asked ? basisText((asked.answer as { basis?: Basis } | undefined)?.basis) : nothing}
      <span class="room"></span>
      ${more.aside ?? nothing}
      ${asked ? links(asked.url, more.csv ?? true) : nothing}
    </header>
    ${asked ? stateOf(asked) : nothing}
    <div class=${asked?.isPending && asked.answer ? "body stale" : "body"}>${body}</div>
  </section>`;
}

function links(url: string, hasCsv: boolean) {
  const csv = url.replace(/(\?|$)/, ".csv$1");
  return html`<span class="links"><a href=${url}>JSON</a>${hasCsv ? html` <a href=${csv}>CSV</a>` : nothing}</span>`;
}

function stateOf(asked: Asked<unknown>) {
  if (asked.trouble) {
    return asked.trouble.isFilter ? nothing : html`<p class="trouble" role="alert">${asked.trouble.text}</p>`;
  }
  if (asked.isCancelled) return html`<p class="hint">Cancelled.</p>`;
  return asked.isPending && !asked.answer ? html`<p class="hint">Asking…</p>` : nothing;
}

/** A bar for a share: an SVG, whose attributes no security policy takes for a style. */
export function bar(share: number, kind = "") {
  const width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return html`<svg class=${`bar ${kind}`} aria-hidden="true" width="100%" height="6"><rect class="all" width="100%" height="6" rx="2"></rect><rect class="part" width=${width} height="6" rx="2"></rect></svg>`;
}

export function sparkline(numbers: number[]) {
  const most = Math.max(...numbers, 0) || 1;
  const points = numbers.map(
    (each, place) => `${(place / Math.max(1, numbers.length - 1)) * 80},${18 - (each / most) * 16}`,
  );
  return html`<svg class="spark" viewBox="0 0 80 20" width="80" height="20" aria-hidden="true">${svg`<polyline points=${points.join(" ")}></polyline>`}</svg>`;
}

/** What a value does: click or Enter shows only requests with it, Shift and click or x excludes them, hover shows where they lie. */
export function valueButton(app: App, condition: string | null, content: unknown) {
  if (condition === null) return html`<span class="value">${content}</span>`;
  const narrow = (isExcluded: boolean) =>
    app.explore({ filter: withCondition(app.place.question.filter, isExcluded ? opposite(condition) : condition) });
  const seen = (hovered: string) => app.look.hovered !== hovered && app.seen({ hovered });
  return html`<button
    type="button"
    class="value"
    title=${`${condition}\nclick: only these; shift-click or x: without these`}
    data-condition=${condition}
    @click=${(event: MouseEvent) => narrow(event.shiftKey)}
    @keydown=${(event: KeyboardEvent) => {
      if (event.key === "x" && !event.ctrlKey && !event.metaKey) narrow(true);
    }}
    @mouseenter=${() => seen(condition)}
    @mouseleave=${() => seen("")}
    @focus=${() => seen(condition)}
    @blur=${() => seen("")}
  >${content}</button>`;
}

/** A value as people see it. */
export function shown(value: string | null | undefined) {
  if (value === null || value === undefined) return html`<em>none</em>`;
  return value === ""
    ? html`<em>empty text</em>`
    : html`<bdi>${value.length > 200 ? `${value.slice(0, 199)}…` : value}</bdi>`;
}
