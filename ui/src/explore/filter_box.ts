// The box in which a filter is typed, with completion; it also takes the id of a request.

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { App } from "../app";
import type { Trouble } from "../asking/asker";
import { Completion, isId, type Offer } from "./completion";

const box = {
  text: "",
  filter: null as string | null,
  offers: [] as Offer[],
  range: [0, 0] as [number, number],
  active: -1,
  asked: 0,
};
let completion: Completion | undefined;

export function filterBox(app: App, trouble: Trouble | undefined) {
  const { filter } = app.place.question;
  if (box.filter !== filter) {
    box.filter = box.text = filter;
    close();
  }
  const isOpen = box.offers.length > 0;
  return html`<form class="filter" role="search" @submit=${(event: Event) => {
    event.preventDefault();
    submit(app);
  }}>
    <label for="filter" class="unseen">Filter, or the id of a request</label>
    <div class="box">
      <input
        id="filter"
        type="search"
        autocomplete="off"
        autocapitalize="off"
        spellcheck="false"
        placeholder="Filter: user_id=42 status>=500 duration>200ms – or the id of a request"
        role="combobox"
        aria-expanded=${isOpen}
        aria-controls="offers"
        aria-autocomplete="list"
        aria-invalid=${trouble ? "true" : "false"}
        aria-describedby=${trouble ? "filter-trouble" : nothing}
        aria-activedescendant=${isOpen && box.active >= 0 ? `offer-${box.active}` : nothing}
        .value=${live(box.text)}
        @input=${(event: Event) => type(app, event.target as HTMLInputElement)}
        @focus=${(event: Event) => type(app, event.target as HTMLInputElement)}
        @keydown=${(event: KeyboardEvent) => press(app, event)}
        @blur=${() => {
          close();
          app.redraw();
        }}
      />
      <ul id="offers" role="listbox" aria-label="Completions" ?hidden=${!isOpen}>
        ${box.offers.map(
          (offer, place) => html`<li
            id=${`offer-${place}`}
            role="option"
            aria-selected=${place === box.active}
            @pointerdown=${(event: Event) => {
              event.preventDefault();
              take(app, offer);
            }}
          ><bdi>${offer.text}</bdi> <small>${offer.note}</small></li>`,
        )}
      </ul>
    </div>
    <button>Ask</button>
    ${filter ? html`<button type="button" class="quiet" @click=${() => app.explore({ filter: "" })}>Clear</button>` : nothing}
    ${trouble ? troubleText(app, filter, trouble) : nothing}
  </form>`;
}

function troubleText(app: App, filter: string, trouble: Trouble) {
  const { position, suggestion } = trouble;
  return html`<div id="filter-trouble" class="trouble" role="alert">
    <p>${trouble.text}${
      suggestion
        ? html` <button type="button" @click=${() => app.explore({ filter: suggestion })}>Ask ${suggestion}</button>`
        : nothing
    }</p>
    ${position === null ? nothing : html`<pre>${`${filter}\n${" ".repeat(Math.max(0, position))}^`}</pre>`}
  </div>`;
}

function submit(app: App): void {
  close();
  const text = box.text.trim();
  if (isId(text)) app.open(app.href("record", { id: text }));
  else if (text === app.place.question.filter.trim()) app.asker.refresh();
  else app.explore({ filter: text });
}

async function type(app: App, input: HTMLInputElement): Promise<void> {
  box.text = input.value;
  const asked = ++box.asked;
  const { since, until } = app.place.question;
  completion ??= new Completion(app.asker);
  try {
    const found = await completion.offers(input.value, input.selectionStart ?? input.value.length, since, until);
    const typed = input.value.slice(found.range[0], found.range[1]);
    if (asked !== box.asked || document.activeElement !== input) return;
    box.offers = found.offers.length === 1 && found.offers[0]?.text === typed ? [] : found.offers;
    box.range = found.range;
    box.active = -1;
  } catch {
    close(); // the answers below say what is wrong
  }
  app.redraw();
}

function press(app: App, event: KeyboardEvent): void {
  const { offers, active } = box;
  if (!offers.length) {
    if (event.key === "ArrowDown") void type(app, event.target as HTMLInputElement);
    return;
  }
  const offer = offers[Math.max(active, 0)];
  if (event.key === "ArrowDown") box.active = (active + 1) % offers.length;
  else if (event.key === "ArrowUp") box.active = active <= 0 ? offers.length - 1 : active - 1;
  else if (event.key === "Escape") close();
  else if (
    offer &&
    ((event.key === "Enter" && active >= 0) || (event.key === "Tab" && box.text.trim() && !event.shiftKey))
  )
    take(app, offer);
  else return;
  event.preventDefault();
  app.redraw();
}

function take(app: App, offer: Offer): void {
  const input = document.getElementById("filter") as HTMLInputElement;
  const [begin, end] = box.range;
  const text = offer.isName ? `${offer.text}=` : `${offer.text} `;
  box.text = box.text.slice(0, begin) + text + box.text.slice(end).trimStart();
  close();
  app.redraw();
  queueMicrotask(() => {
    input.value = box.text;
    input.setSelectionRange(begin + text.length, begin + text.length);
    if (offer.isName) void type(app, input);
  });
}

function close(): void {
  box.offers = [];
  box.active = -1;
  box.asked += 1;
}
