// The page starts here: its URL says what is shown.

import { html, render } from "lit-html";
import type { App, Look, Page, Place } from "./app";
import { Asker } from "./asking/asker";
import { explore } from "./explore/explore";
import { healthPage } from "./pages/health";
import { helpDialog, toggleHelp } from "./pages/help";
import { newPage } from "./pages/new";
import { recordPage } from "./pages/record";
import { DEFAULTS, type Question, questionOf, searchOf } from "./words/question";

const OTHERS = /\/(?:record\/([^/]+)|new|health)$/;
const root = document.getElementById("page") as HTMLElement;
const said = document.getElementById("said") as HTMLElement;

/** Where the page is mounted: its home always ends with a slash. */
function baseOf(location: Location): URL {
  const base = new URL(location.pathname.replace(OTHERS, "/"), location.href);
  base.pathname = base.pathname.slice(0, base.pathname.lastIndexOf("/") + 1);
  return base;
}

/** Of bytes that are no text there is no record; the page says so of what stands in the URL. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function placeOf(location: Location): Place {
  const match = OTHERS.exec(location.pathname);
  const question = questionOf(new URLSearchParams(location.search));
  if (match?.[1]) return { page: "record", id: decoded(match[1]), question };
  return { page: (match?.[0].slice(1) as Page | undefined) ?? "explore", id: "", question };
}

class Running implements App {
  readonly asker: Asker;
  place: Place;
  look: Look = { hovered: "", isLive: false, wantedName: "", marked: [] };
  private isDrawing = false;
  private readonly base: URL;

  constructor() {
    this.base = baseOf(location);
    this.place = placeOf(location);
    this.asker = new Asker(this.base, () => this.redraw());
    window.addEventListener("popstate", () => this.arrive());
    document.addEventListener("click", (event) => this.follow(event));
    document.addEventListener("keydown", (event) => this.press(event));
    this.redraw();
  }

  href(page: Page, more: { id?: string; question?: Partial<Question> } = {}): string {
    const path = page === "explore" ? "" : page === "record" ? `record/${encodeURIComponent(more.id ?? "")}` : page;
    const question = more.question
      ? { ...DEFAULTS, ...more.question }
      : page === "explore"
        ? this.place.question
        : DEFAULTS;
    return new URL(path, this.base).pathname + searchOf(question);
  }

  explore(changes: Partial<Question>): void {
    const question = { ...this.place.question, rectangle: null, these: "", others: "", ...changes };
    this.open(this.href("explore", { question }));
  }

  open(href: string): void {
    if (href !== location.pathname + location.search) history.pushState(null, "", href);
    this.arrive();
  }

  seen(changes: Partial<Look>): void {
    this.look = { ...this.look, ...changes };
    this.redraw();
  }

  say(text: string): void {
    said.textContent = text;
  }

  redraw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    // Not in a frame: a tab in the background has none, and would ask nothing.
    queueMicrotask(() => {
      this.isDrawing = false;
      this.asker.during(() => render(this.whole(), root));
    });
  }

  private arrive(): void {
    const page = this.place.page;
    this.place = placeOf(location);
    this.look = { ...this.look, hovered: "", marked: [] };
    if (page !== this.place.page || this.place.page === "record") window.scrollTo(0, 0);
    this.redraw();
  }

  private whole() {
    const { page } = this.place;
    const waited = this.asker.waitingMs();
    const views = { explore, record: recordPage, new: newPage, health: healthPage };
    document.title = page === "explore" ? "Chest" : `${page} · Chest`;
    const link = (to: Page, text: string) =>
      html`<a href=${this.href(to)} aria-current=${page === to ? "page" : "false"}>${text}</a>`;
    return html`
      <a class="skip" href="#main">To the answers</a>
      <header class="top">
        <span class="brand">Chest</span>
        <nav aria-label="Pages">${link("explore", "Explore")} ${link("new", "New")} ${link("health", "Health")}</nav>
        <span class="waiting" ?hidden=${waited === 0}>
          <progress aria-label="The store is asked"></progress> asking, ${Math.round(waited / 1000)} s
          <button type="button" @click=${() => this.asker.cancel()}>Cancel</button>
        </span>
        <span class="zone">Times are UTC</span>
        <button type="button" class="quiet" @click=${toggleHelp} aria-label="Help" title="Help (?)">?</button>
      </header>
      <main id="main" class=${`page-${page}`}>${views[page](this)}</main>
      ${helpDialog()}
    `;
  }

  /** Links within the page need no new page. */
  private follow(event: MouseEvent): void {
    const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null;
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (link.getAttribute("href")?.startsWith("#") || !link.pathname.startsWith(this.base.pathname)) return;
    if (link.pathname.startsWith(`${this.base.pathname}api/`)) return;
    event.preventDefault();
    this.open(link.pathname + link.search);
  }

  private press(event: KeyboardEvent): void {
    const isTyping = (event.target as Element | null)?.closest?.("input, textarea, select, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      if (this.place.page !== "explore") this.open(this.href("explore", { question: {} }));
      queueMicrotask(() => {
        const box = document.getElementById("filter") as HTMLInputElement | null;
        box?.focus();
        box?.setSelectionRange(box.value.length, box.value.length);
      });
    } else if (event.key === "?") {
      event.preventDefault();
      toggleHelp();
    }
  }
}

new Running();
